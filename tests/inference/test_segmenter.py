"""Segmentation of whole videos, with scripted detections and perfect propagation."""

import gc

import numpy as np
import pytest
import torch
from scenes import Object, Scene, make_tracker

from maskprop_d2.errors import InputError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.ops.rle import decode
from maskprop_d2.structures import FrameOutput
from maskprop_d2.tracking import FrameNetwork

LENGTH = 9
HEIGHT, WIDTH, STRIDE = 32, 48, 4


def numbered_frame(t):
    """A frame whose pixels are its index."""
    return np.full((HEIGHT, WIDTH, 3), t, np.uint8)


class ScriptedNetwork(FrameNetwork):
    """Detects in frame t the (object, category) pairs of ``script[t]``; K = 3.

    ``boxes[object][t]`` is the box of an object, detected or not. Its mask fills the box.
    """

    def __init__(self, script, boxes):
        self.script = script
        self.boxes = boxes
        self.batch_sizes = []

    def detect(self, frames):
        self.batch_sizes.append(len(frames))
        outputs = []
        for t in frames[:, 0, 0, 0].tolist():
            objects = self.script[t]
            boxes = torch.tensor([self.boxes[i][t] for i, _ in objects]).reshape(-1, 4).float()
            class_scores = torch.full((len(objects), 4), 0.1)
            for row, (_, category) in zip(class_scores, objects, strict=True):
                row[category] = 0.7
            outputs.append(
                FrameOutput(
                    boxes_video=boxes,
                    scores=torch.full((len(objects),), 0.7),
                    class_scores=class_scores,
                    box_masks=torch.ones(len(objects), 8, 8),
                    grid_masks=self.grid_masks(boxes),
                    grid_box_video=torch.tensor([0.0, 0.0, WIDTH, HEIGHT]),
                    maps={"frame": torch.tensor([t]), "objects": [i for i, _ in objects]},
                )
            )
        return outputs

    def propagate(self, source, targets):
        boxes = [
            torch.tensor([self.boxes[i][int(x.maps["frame"])] for i in source.maps["objects"]])
            for x in targets
        ]
        return torch.stack([self.grid_masks(b.float()) for b in boxes])

    @staticmethod
    def grid_masks(boxes):
        masks = torch.zeros(len(boxes), HEIGHT // STRIDE, WIDTH // STRIDE)
        for mask, box in zip(masks, (boxes / STRIDE).round().int().tolist(), strict=True):
            mask[max(box[1], 0) : max(box[3], 0), max(box[0], 0) : max(box[2], 0)] = 1
        return masks


def moving(speed, start=0, row=0):
    """Boxes of 12 x 12 pixels, aligned with the grid, one per frame."""
    return [[start + speed * t, row, start + speed * t + 12, row + 12] for t in range(LENGTH)]


def segmenter(network, method="maskprop", **options):
    return VideoSegmenter(
        network,
        make_tracker=lambda x: make_tracker(method, x, clip_radius=2, threshold=0.2),
        **options,
    )


def frames(length=LENGTH):
    return (numbered_frame(t) for t in range(length))


def pixels(rle):
    return None if rle is None else int(decode(rle).sum())


def test_two_objects_keep_their_ids_in_changing_order_and_after_a_miss():
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
    # As in the paper, a frame without detection has no mask.
    assert a[4] is None
    assert decode(b[2])[20:32, 28:40].all() and pixels(b[2]) == 144


def test_refined_masks_are_pasted_into_their_crops():
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


def test_fast_objects_are_linked_by_propagation_but_not_by_mask_iou():
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
    # Resizing from the grid rounds the corners.
    assert decode(masks[3])[1:11, 13:23].all() and abs(pixels(masks[3]) - 144) <= 8


@pytest.mark.parametrize(
    ("method", "final_mask", "delay"),
    [("iou", "center", 0), ("maskprop", "center", 2), ("maskprop", "average", 4)],
)
def test_frames_are_finished_in_order_with_a_known_delay(method, final_mask, delay):
    network = ScriptedNetwork([[("a", 0)]] * LENGTH, {"a": moving(4)})
    built = segmenter(network, method, final_mask=final_mask, frames_per_batch=1)
    stream = built.stream(frames())
    for t, result in enumerate(stream):
        assert result.index == t
        assert (result.frame == t).all()
        assert sum(network.batch_sizes) == min(t + delay + 1, LENGTH)
    assert t == LENGTH - 1


def test_the_window_does_not_grow_with_the_video():
    network = ScriptedNetwork([[("a", 0)]] * 200, {"a": [[0, 0, 12, 12]] * 200})
    stream = segmenter(network, final_mask="fill").stream(numbered_frame(t) for t in range(200))
    longest = 0
    for _ in stream:
        longest = max(longest, len(stream._pending))
    gc.collect()
    # 2T on each side of the finished frame, and a batch.
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
        "parent_ids": [],
    }


@pytest.mark.parametrize("final_mask", ["center", "fill", "average"])
def test_an_object_divides(final_mask):
    """Two smaller ones appear in its place in frame 4. Their clips are half as large before."""
    boxes = {
        "mother": [[12, 8, 36, 20]] * LENGTH,
        "left": [[12, 8, 24, 20]] * LENGTH,
        "right": [[24, 8, 36, 20]] * LENGTH,
    }
    script = [[("mother", 1)]] * 4 + [[("left", 1), ("right", 1)]] * 5
    segment = VideoSegmenter(
        ScriptedNetwork(script, boxes),
        make_tracker=lambda x: make_tracker(
            "maskprop", x, clip_radius=2, threshold=0.2, division=0.3
        ),
        final_mask=final_mask,
    )
    video = segment.segment(frames())
    by_id = dict(zip(video.track_ids, video.pred_masks, strict=True))
    assert dict(zip(video.track_ids, video.parent_ids, strict=True)) == {0: None, 1: 0, 2: 0}
    # The mother's clips reach into the frames of her daughters, where she is no more.
    assert [m is not None for m in by_id[0]] == [True] * 4 + [False] * 5
    assert all(m is not None for y in (1, 2) for m in by_id[y][4:])


def test_scores_are_means_over_detections_and_other_categories_need_the_floor():
    script = [[("a", 0)], [("a", 0)], [("a", 1)]]
    network = ScriptedNetwork(script, {"a": moving(0)})
    video = segmenter(network).segment(frames(3))
    assert (video.pred_labels, video.pred_scores) == ([0], pytest.approx([0.5]))
    video = segmenter(network, class_floor=0.2).segment(frames(3))
    assert (video.track_ids, video.pred_labels) == ([0, 0], [0, 1])
    assert video.pred_scores == pytest.approx([0.5, 0.3])


def test_detections_that_the_tracker_drops_are_not_in_the_results():
    scene = Scene({"a": Object([(4, 4)] * 3)}, doubled=[("a", 1)])
    tracker = {"name": "masktrack", "variant": "mmtracking"}
    stream = VideoSegmenter.from_options(scene, tracker=tracker).stream(scene.images())
    assert [x.track_ids for x in stream] == [[0]] * 3
    tracks = stream.tracks()
    assert tracks.track_ids == [0]
    assert len({pixels(x) for x in tracks.pred_masks[0]}) == 1


def test_scores_over_the_whole_video():
    network = ScriptedNetwork([[("a", 0)], [], [("a", 0)], []], {"a": moving(0)})
    video = segmenter(network, track_score="video").segment(frames(4))
    assert video.pred_scores == pytest.approx([0.7 * 2 / 4])
    # Clips of frames that are not finished must not count yet.
    script = [[("a", 0)]] * 4
    ahead = segmenter(
        ScriptedNetwork(script, {"a": moving(0)}), track_score="video", final_mask="fill"
    )
    stream = ahead.stream(frames(4))
    next(stream)
    assert stream.tracks().pred_scores == pytest.approx([0.7])


def test_score_of_the_most_frequent_category():
    network = ScriptedNetwork([[("a", 0)], [("a", 1)], [("a", 1)]], {"a": moving(0)})
    detect = network.detect

    def detect_with_own_scores(images):
        outputs = detect(images)
        for t, output in zip(images[:, 0, 0, 0].tolist(), outputs, strict=True):
            output.class_scores[output.class_scores > 0.5] = (0.9, 0.3, 0.6)[t]
        return outputs

    network.detect = detect_with_own_scores
    made = segmenter(network, track_score="majority", class_floor=0.0)
    stream = made.stream(frames(3))
    *_, last = stream
    assert (last.labels, last.scores) == ([1], pytest.approx([0.6]))
    video = stream.tracks()
    assert (video.pred_labels, video.pred_scores) == ([1], pytest.approx([0.6]))


def test_wrong_frames_are_rejected():
    network = ScriptedNetwork([[]] * 2, {})
    for frame, message in (
        (numbered_frame(1)[:-1], r"frame 1 is a uint8 array of shape \(31, 48, 3\)"),
        (numbered_frame(1).astype(np.float64), "frame 1 is a float64 array"),
        (numbered_frame(1)[:, :, 0], r"frame 1 is a uint8 array of shape \(32, 48\)"),
        (numbered_frame(1)[:, :, [0, 0, 0, 0]], r"shape \(32, 48, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            segmenter(network).segment([numbered_frame(0), frame])
    with pytest.raises(ValueError, match="the video has no frame"):
        segmenter(network).segment([])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"track_score": "best"}, "track_score must be"),
        ({"final_mask": "best"}, "final_mask must be"),
        ({"frames_per_batch": 0}, "frames_per_batch must be at least 1, not 0"),
        ({"tracker": {"name": "iou", "match": "all"}}, "'iou' has no option 'match'"),
        ({"tracker": {"name": "maskprop", "match": "far"}}, "'all' or 'near', not 'far'"),
    ],
)
def test_wrong_options_are_rejected(options, message):
    with pytest.raises(InputError, match=message):
        VideoSegmenter.from_options(None, **{"tracker": {"name": "iou"}, **options})
