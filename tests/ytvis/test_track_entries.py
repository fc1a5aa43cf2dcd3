"""Entries of results files."""

from maskprop_d2.structures import VideoTrack, VideoTracks
from maskprop_d2.ytvis.writing import track_entries, tracks_to_results

MASKS = [[None, {"size": [2, 2], "counts": "04"}]] * 2


def test_results_in_the_official_format():
    tracks = VideoTracks((2, 2), [0.5, 0.25], [0, 1], MASKS, [3, 4], [None, None])
    assert tracks_to_results(7, tracks.as_dict(), {0: 10, 1: 20}) == [
        {"video_id": 7, "category_id": 10, "score": 0.5, "segmentations": MASKS[0]},
        {"video_id": 7, "category_id": 20, "score": 0.25, "segmentations": MASKS[1]},
    ]


def test_results_of_tracks_that_divided_have_ids_and_parents():
    tracks = VideoTracks((2, 2), [0.5, 0.25], [0, 0], MASKS, [3, 4], [None, 3])
    first, second = tracks_to_results(7, tracks.as_dict(), {0: 10})
    assert first["track_id"] == 3 and "parent_id" not in first
    assert second["track_id"] == 4 and second["parent_id"] == 3


def test_entries_of_a_drawn_video_have_parents():
    tracks = [VideoTrack(3, 0, 0.5, MASKS[0]), VideoTrack(4, 0, 0.5, MASKS[0], parent_id=3)]
    first, second = track_entries(tracks, ["cell"], [10])
    assert first["track_id"] == 3 and "parent_id" not in first
    assert second["parent_id"] == 3 and second["category_name"] == "cell"
