"""EnsembleVIS: tracklets by flow, merging by appearance, categories by the crop classifier."""

import numpy as np
import pytest
import torch
from scenes import Object, Scene, id_runs, track

from maskprop_d2.errors import InputError, MissingWeightsError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.ensemble import Tracklet, merge_tracklets

RED, BLUE = (200, 60, 60), (60, 60, 200)


def segmenter(scene, method="ensemble", class_floor=1.0, **options):
    tracker = {"name": method, "threshold": 0.1, **options}
    return VideoSegmenter.from_options(scene, tracker=tracker, class_floor=class_floor)


def tracklet(first, last, *appearance):
    return Tracklet(first, last, np.array(appearance, np.float32))


def test_a_tracklet_follows_an_object_whose_masks_do_not_overlap():
    # Merging cannot help: another object of the same appearance is in every frame.
    fast = Object([(4 + 22 * t, 20) for t in range(6)], 1, color=RED)
    scene = Scene({"a": fast, "b": Object([(4, 60)] * 6, 1, color=RED)})
    found = track("ensemble", scene)
    assert [id_runs(found[name]) for name in "ab"] in ([[0], [1]], [[1], [0]])
    without_flow = segmenter(scene, "iou", threshold=0.15).segment(scene.images())
    assert len(set(without_flow.track_ids)) == 7


def test_similar_tracklets_without_a_common_frame_are_merged():
    red, blue = (5.0, 0, 0), (0, 2.0, 0)
    # The number of their detections does not matter.
    assert merge_tracklets([tracklet(0, 3, *red), tracklet(5, 9, 0.1, 0, 0)], 0.2) == [0, 0]
    assert merge_tracklets([tracklet(0, 3, *red), tracklet(5, 9, *blue)], 0.2) == [0, 1]
    assert merge_tracklets([tracklet(0, 5, *red), tracklet(5, 9, *red)], 0.2) == [0, 1]
    assert merge_tracklets([tracklet(0, 9, *red), tracklet(4, 5, *red)], 0.2) == [0, 1]
    # Not through a third one that could merge with either.
    three = [tracklet(0, 3, *red), tracklet(2, 5, *red), tracklet(7, 9, *red)]
    assert merge_tracklets(three, 0.2)[:2] == [0, 1]
    # Nor through one that is similar to both.
    three = [tracklet(0, 3, 1, 0, 0), tracklet(4, 5, 1, 0.6, 0), tracklet(6, 9, 1, 1.4, 0)]
    assert merge_tracklets(three[:2], 0.2) == merge_tracklets(three[1:], 0.2) == [0, 0]
    assert len(set(merge_tracklets(three, 0.2))) == 2


def test_the_most_similar_tracklets_merge_first_and_ids_follow_the_first_tracklets():
    a, b = tracklet(0, 3, 0, 1, 0.1), tracklet(2, 5, 0, 1, 0.4)
    c, d = tracklet(7, 8, 0, 1, 0.38), tracklet(8, 9, 0, 1, 0.08)
    assert merge_tracklets([a, b, c, d], 0.2) == [0, 1, 1, 0]
    assert merge_tracklets([], 0.2) == [] and merge_tracklets([a], 0.2) == [0]
    # Tracklets without masks are similar to nothing.
    assert merge_tracklets([tracklet(0, 1, 0, 0, 0), tracklet(2, 3, 0, 0, 0)], 0.2) == [0, 1]


@pytest.mark.parametrize(("max_distance", "objects"), [(0.2, 2), (1.0, 1)])
def test_an_object_that_reappears_elsewhere_keeps_its_id_by_appearance(max_distance, objects):
    for color, expected in ((RED, 1), (BLUE, objects)):
        a = Object([(10, 10)] * 12, 1, color=RED)
        b = Object([(100, 50)] * 12, 1, color=color)
        missed = [("a", t) for t in range(5, 12)] + [("b", t) for t in range(7)]
        scene = Scene({"a": a, "b": b}, missed)
        tracks = segmenter(scene, max_appearance_distance=max_distance).segment(scene.images())
        assert tracks.track_ids == list(range(expected))


class Classified(Scene):
    """The classifier differs from the detector, and from itself in some frames."""

    def _output(self, t):
        output = super()._output(t)
        output.crop_scores = torch.tensor([[0.1, 0.8, 0.1] if t % 4 else [0.5, 0.1, 0.4]])
        return output


def test_categories_are_the_classifiers_and_certainty_is_the_detectors():
    scene = Classified({"a": Object([(10 + 2 * t, 10) for t in range(8)], category=2)})
    tracks = segmenter(scene, class_floor=0.18).segment(scene.images())
    # It errs in two of eight frames; the detector gives 0.05 to the background.
    expected = [0.95 * (0.75 * 0.1 + 0.25 * 0.5), 0.95 * (0.75 * 0.8 + 0.25 * 0.1)]
    assert tracks.pred_labels == [0, 1]
    assert tracks.pred_scores == pytest.approx(expected)
    # Other methods ignore the classifier.
    tracks = segmenter(scene, "iou").segment(scene.images())
    assert tracks.pred_labels == [2] and tracks.pred_scores == pytest.approx([0.85])


def test_a_network_without_the_classifier_is_rejected():
    scene = Scene({"a": Object([(10, 10)])})
    (frame,) = scene.frames()
    frame.output.crop_scores = None
    with pytest.raises(MissingWeightsError, match="maskprop_tiny_ensemble"):
        build_tracker("ensemble", scene).add(frame)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_a_wrong_appearance_distance_is_rejected(wrong):
    with pytest.raises(InputError, match="'ensemble': max_appearance_distance must be between 0"):
        build_tracker("ensemble", None, max_appearance_distance=wrong)


def test_the_memory_per_frame_is_small():
    scene = Scene({"a": Object([(10, 10)] * 6, color=BLUE)})
    tracker = build_tracker("ensemble", scene)
    for frame in scene.frames():
        assert tracker.add(frame) == []
    assert len(tracker._tracklets) == 1 and tracker._members == [[0]] * 6
    assert [x.shape for x in tracker._class_scores] == [(1, 4)] * 6
    # Only the flow of the latest step is kept.
    assert set(tracker._propagate._steps) == {(5, 4)}
