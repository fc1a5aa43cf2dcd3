import gc

import numpy as np
import pytest
import torch
from scripted import HEIGHT, WIDTH, ScriptedNetwork, frame_of

from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.ops.rle import decode
from maskprop_d2.tracking import build_tracker

LENGTH = 9


def moving(speed, start=0, row=0):
    """Boxes of 12 x 12 pixels on the grid's cells, one a frame."""
    return [[start + speed * t, row, start + speed * t + 12, row + 12] for t in range(LENGTH)]


def segmenter(network, tracker="maskprop", radius=2, **options):
    factory = build_tracker(tracker, clip_radius=radius, threshold=0.2, exclusive=True)
    return VideoSegmenter(network, make_tracker=factory, **options)


def frames(length=LENGTH):
    return (frame_of(t) for t in range(length))


def pixels(rle):
    return None if rle is None else int(decode(rle).sum())


def test_two_objects_keep_their_ids_through_order_changes_and_a_miss():
    boxes = {"a": moving(4), "b": moving(-4, start=36, row=20)}
    script = [[("a", 1), ("b", 2)] if t % 2 else [("b", 2), ("a", 1)] for t in range(LENGTH)]
    script[4] = [("b", 2)]
    video = segmenter(ScriptedNetwork(script, boxes)).segment(frames())
    assert video.image_size == (HEIGHT, WIDTH)
    assert video.track_ids == [0, 1]
    assert video.pred_labels == [2, 1]
    assert video.pred_scores == pytest.approx([0.7, 0.7])
    assert all(len(masks) == LENGTH for masks in video.pred_masks)
    b, a = video.pred_masks
    assert [pixels(m) for m in a[:4]] == [144] * 4
    # The paper's choice: a frame without detection has no mask.
    assert a[4] is None
    assert decode(b[2])[20:32, 28:40].all() and pixels(b[2]) == 144


def test_refined_masks_are_pasted_where_their_crops_are():
    class Refined(ScriptedNetwork):
        def detect(self, frames):
            outputs = super().detect(frames)
            for x in outputs:
                x.crops_video = x.boxes_video + torch.tensor([-6, -6, 6, 6])
                x.box_masks = torch.nn.functional.pad(torch.ones(len(x), 12, 12), [6] * 4)
            return outputs

    script, boxes = [[("a", 0)]] * LENGTH, {"a": moving(2, start=8, row=8)}
    plain, refined = (segmenter(x(script, boxes)) for x in (ScriptedNetwork, Refined))
    expected = plain.segment(frames())
    found = refined.segment(frames())
    assert found.pred_masks == expected.pred_masks


def test_fast_objects_are_followed_by_propagation_and_not_by_neighbouring_masks():
    boxes = {"a": moving(16), "b": moving(16, row=16)}
    script = [[("a", 0), ("b", 0)]] * 3
    network = ScriptedNetwork(script, boxes)
    assert segmenter(network).segment(frames(3)).track_ids == [0, 1]
    assert len(segmenter(network, "iou").segment(frames(3)).track_ids) == 6


@pytest.mark.parametrize("final_mask", ["fill", "average"])
def test_a_missed_mask_is_filled_from_the_clips_around_it(final_mask):
    network = ScriptedNetwork([[("a", 0)]] * 3 + [[]] + [[("a", 0)]] * 5, {"a": moving(4)})
    video = segmenter(network, final_mask=final_mask).segment(frames())
    (masks,) = video.pred_masks
    # Enlarging the grid's masks rounds their corners.
    assert decode(masks[3])[1:11, 13:23].all() and abs(pixels(masks[3]) - 144) <= 8


@pytest.mark.parametrize(
    ("tracker", "final_mask", "delay"),
    [("iou", "center", 0), ("maskprop", "center", 2), ("maskprop", "average", 4)],
)
def test_frames_come_out_in_order_with_the_stated_delay(tracker, final_mask, delay):
    given = []

    def source():
        for t in range(LENGTH):
            given.append(t)
            yield frame_of(t)

    network = ScriptedNetwork([[("a", 0)]] * LENGTH, {"a": moving(4)})
    built = segmenter(network, tracker, final_mask=final_mask, frames_per_batch=1)
    stream = built.stream(source())
    for t, result in enumerate(stream):
        assert result.index == t
        assert (result.frame == t).all()
        assert sum(network.detected_batches) == min(t + delay + 1, LENGTH)
    assert t == LENGTH - 1


def test_the_window_does_not_grow_with_the_video():
    network = ScriptedNetwork([[("a", 0)]] * 200, {"a": [[0, 0, 12, 12]] * 200})
    stream = segmenter(network, final_mask="fill").stream(frame_of(t) for t in range(200))
    longest = 0
    for _ in stream:
        longest = max(longest, len(stream._window))
    gc.collect()
    # 2T on each side of the frame that is finished, and a batch.
    assert longest <= 4 * 2 + 1 + 4


@pytest.mark.parametrize("final_mask", ["center", "fill", "average"])
def test_one_frame_and_no_object(final_mask):
    one = ScriptedNetwork([[("a", 1)]], {"a": moving(0)})
    video = segmenter(one, final_mask=final_mask).segment(frames(1))
    assert [pixels(m) for m in video.pred_masks[0]] == [140 if final_mask == "average" else 144]
    nothing = ScriptedNetwork([[]] * LENGTH, {})
    stream = segmenter(nothing, final_mask=final_mask).stream(frames())
    assert [r.track_ids for r in stream] == [[]] * LENGTH
    assert stream.tracks().as_dict() == {
        "image_size": (HEIGHT, WIDTH),
        "pred_scores": [],
        "pred_labels": [],
        "pred_masks": [],
        "track_ids": [],
    }


def test_score_is_the_mean_over_detections_and_further_classes_come_above_a_floor():
    script = [[("a", 0)], [("a", 0)], [("a", 1)]]
    network = ScriptedNetwork(script, {"a": moving(0)})
    video = segmenter(network).segment(frames(3))
    assert (video.pred_labels, video.pred_scores) == ([0], pytest.approx([0.5]))
    video = segmenter(network, class_floor=0.2).segment(frames(3))
    assert (video.track_ids, video.pred_labels) == ([0, 0], [0, 1])
    assert video.pred_scores == pytest.approx([0.5, 0.3])


def test_a_track_may_be_scored_over_the_whole_video():
    network = ScriptedNetwork([[("a", 0)], [], [("a", 0)], []], {"a": moving(0)})
    video = segmenter(network, track_score="video").segment(frames(4))
    assert video.pred_scores == pytest.approx([0.7 * 2 / 4])
    # Clips run ahead of the frames that are finished: they must not count yet.
    script = [[("a", 0)]] * 4
    ahead = segmenter(
        ScriptedNetwork(script, {"a": moving(0)}), track_score="video", final_mask="fill"
    )
    stream = ahead.stream(frames(4))
    next(stream)
    assert stream.tracks().pred_scores == pytest.approx([0.7])


def test_wrong_frames_and_options_are_refused():
    network = ScriptedNetwork([[]] * 2, {})
    with pytest.raises(ValueError, match="frame 1 is a uint8 array of shape"):
        segmenter(network).segment([frame_of(0), frame_of(1)[:-1]])
    with pytest.raises(ValueError, match="frame 0 is a float64 array"):
        segmenter(network).segment([frame_of(0).astype(np.float64)])
    with pytest.raises(ValueError, match="the video has no frame"):
        segmenter(network).segment([])
    with pytest.raises(ValueError, match="TRACK_SCORE must be"):
        segmenter(network, track_score="best")
    with pytest.raises(ValueError, match="FINAL_MASK must be"):
        segmenter(network, final_mask="best")


def test_a_batch_has_a_frame_at_least():
    with pytest.raises(ValueError, match="FRAMES_PER_BATCH must be at least 1, not 0"):
        segmenter(ScriptedNetwork([[]], {}), frames_per_batch=0)
