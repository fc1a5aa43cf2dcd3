"""EnsembleVIS: tracklets by flow, merges by looks, and categories by the crop classifier."""

import numpy as np
import pytest
import torch
from scenes import Object, Scene, pieces, track

from maskprop_d2.errors import InputError, MissingWeightsError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.ensemble import Tracklet, merge

RED, BLUE = (200, 60, 60), (60, 60, 200)


def tracker(**options):
    return build_tracker(
        "ensemble", clip_radius=1, threshold=0.1, exclusive=True, options=options or None
    )


def tracklet(first, last, *look):
    return Tracklet(first, last, np.array(look, np.float32))


def test_a_tracklet_follows_what_moves_further_than_its_masks_overlap():
    """No merge helps, since what looks alike is always there too."""
    fast = Object([(4 + 22 * t, 20) for t in range(6)], 1, color=RED)
    scene = Scene({"a": fast, "b": Object([(4, 60)] * 6, 1, color=RED)})
    found = track("ensemble", scene)
    assert [pieces(found[name]) for name in "ab"] in ([[0], [1]], [[1], [0]])
    without_flow = build_tracker("iou", clip_radius=1, threshold=0.15, exclusive=True)
    stream = VideoSegmenter(scene, make_tracker=without_flow).stream(scene.images())
    assert len({y for x in stream for y in x.track_ids}) == 7


def test_tracklets_are_merged_if_they_look_alike_and_are_never_seen_at_once():
    red, blue = (5.0, 0, 0), (0, 2.0, 0)
    # However many detections they are made of.
    assert merge([tracklet(0, 3, *red), tracklet(5, 9, 0.1, 0, 0)], 0.2) == [0, 0]
    assert merge([tracklet(0, 3, *red), tracklet(5, 9, *blue)], 0.2) == [0, 1]
    assert merge([tracklet(0, 5, *red), tracklet(5, 9, *red)], 0.2) == [0, 1]
    assert merge([tracklet(0, 9, *red), tracklet(4, 5, *red)], 0.2) == [0, 1]
    # Not by way of a third that either could be merged with, but not both.
    assert merge([tracklet(0, 3, *red), tracklet(2, 5, *red), tracklet(7, 9, *red)], 0.2)[:2] == [
        0,
        1,
    ]
    # Nor with one that is too far from any.
    between = tracklet(4, 5, 1, 0.6, 0)
    three = [tracklet(0, 3, 1, 0, 0), between, tracklet(6, 9, 1, 1.4, 0)]
    assert merge(three[:2], 0.2) == merge(three[1:], 0.2) == [0, 0]
    assert len(set(merge(three, 0.2))) == 2


def test_the_most_alike_are_merged_first_and_ids_go_by_first_tracklets():
    a, b = tracklet(0, 3, 0, 1, 0.1), tracklet(2, 5, 0, 1, 0.4)
    assert merge([a, b, tracklet(7, 8, 0, 1, 0.38), tracklet(8, 9, 0, 1, 0.08)], 0.2) == [
        0,
        1,
        1,
        0,
    ]
    assert merge([], 0.2) == [] and merge([a], 0.2) == [0]
    # What has no mask looks like nothing, and like nothing else.
    assert merge([tracklet(0, 1, 0, 0, 0), tracklet(2, 3, 0, 0, 0)], 0.2) == [0, 1]


@pytest.mark.parametrize(("limit", "objects"), [(0.2, 2), (1.0, 1)])
def test_one_that_comes_elsewhere_when_another_is_gone_is_it_if_they_look_alike(limit, objects):
    for color, expected in ((RED, 1), (BLUE, objects)):
        a = Object([(10, 10)] * 12, 1, color=RED)
        b = Object([(100, 50)] * 12, 1, color=color)
        gone = [("a", t) for t in range(5, 12)] + [("b", t) for t in range(7)]
        scene = Scene({"a": a, "b": b}, gone)
        make = tracker(max_appearance_distance=limit)
        stream = VideoSegmenter(scene, make_tracker=make).stream(scene.images())
        assert {y for x in stream for y in x.track_ids} == set(range(expected))


class Classified(Scene):
    """The detector says one category, the classifier in most frames another."""

    def _output(self, t):
        output = super()._output(t)
        output.crop_scores = torch.tensor([[0.1, 0.8, 0.1] if t % 4 else [0.5, 0.1, 0.4]])
        return output


def test_the_classifier_says_what_a_track_is_and_the_detector_how_sure_that_is():
    scene = Classified({"a": Object([(10 + 2 * t, 10) for t in range(8)], category=2)})
    segmenter = VideoSegmenter(scene, make_tracker=tracker(), class_floor=0.18)
    tracks = segmenter.segment(scene.images())
    # In two of the eight frames it errs; the detector's background has 0.05.
    expected = [0.95 * (0.75 * 0.1 + 0.25 * 0.5), 0.95 * (0.75 * 0.8 + 0.25 * 0.1)]
    assert tracks.pred_labels == [0, 1]
    assert tracks.pred_scores == pytest.approx(expected)
    # Other methods take no notice.
    make = build_tracker("iou", clip_radius=1, threshold=0.1, exclusive=True)
    tracks = VideoSegmenter(scene, make_tracker=make).segment(scene.images())
    assert tracks.pred_labels == [2] and tracks.pred_scores == pytest.approx([0.85])


def test_a_network_without_the_classifier_is_refused():
    class Without(Scene):
        def _output(self, t):
            output = super()._output(t)
            output.crop_scores = None
            return output

    scene = Without({"a": Object([(10, 10)] * 3)})
    with pytest.raises(MissingWeightsError, match="maskprop_tiny_ensemble"):
        VideoSegmenter(scene, make_tracker=tracker()).segment(scene.images())


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_a_limit_that_is_no_distance_is_refused(wrong):
    with pytest.raises(InputError, match=r"ENSEMBLE\.MAX_APPEARANCE_DISTANCE"):
        tracker(max_appearance_distance=wrong)


def test_what_it_keeps_of_a_frame_is_small():
    scene = Scene({"a": Object([(10, 10)] * 6, color=BLUE)})
    stream = VideoSegmenter(scene, make_tracker=tracker()).stream(scene.images())
    next(stream)
    kept = stream.tracker
    assert len(kept._tracklets) == 1 and kept._members == [[0]] * 6
    assert [x.shape for x in kept._class_scores] == [(1, 4)] * 6
    # Flow is kept between the last two frames alone.
    assert set(kept._warp._steps) == {(5, 4)}
