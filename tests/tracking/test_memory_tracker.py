"""The matching scores and the memory of MaskTrack R-CNN and of IoUTracker+."""

import math

import pytest
import torch
from scenes import Object, Scene, id_runs, track

from maskprop_d2.errors import InputError, MissingWeightsError
from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.memory_tracker import MAX_AGE, MemoryTracker


def frame(t, boxes, scores, *, embeddings=None, categories=None):
    """A frame with these detections."""
    class_scores = torch.eye(4)[categories or [0] * len(boxes)]
    boxes, masks = torch.tensor(boxes).float().reshape(-1, 4), torch.zeros(len(boxes), 1, 1)
    output = FrameOutput(boxes, torch.tensor(scores), class_scores, masks, masks, torch.zeros(4))
    if embeddings is not None:
        output.embeddings = torch.tensor(embeddings).float()
    return Frame(t, None, output)


def iou_plus():
    return build_tracker("iou_plus", None)


def masktrack(variant="original"):
    return build_tracker("masktrack", None, variant=variant)


def test_the_published_score():
    tracker = iou_plus()
    first = frame(0, [[0, 0, 10, 10], [20, 0, 30, 10]], [0.9, 0.8], categories=[0, 1])
    assert tracker.link(first) == [0, 1]
    scores, new_scores = tracker.scores(frame(1, [[5, 0, 15, 10]], [0.5]).output)
    expected = [[math.log(0.5) + 2 * 1 / 3 + 10, math.log(0.5)]]
    torch.testing.assert_close(scores, torch.tensor(expected))
    torch.testing.assert_close(new_scores, torch.tensor([math.log(0.5) + 10]))


def test_the_latest_box_and_the_first_label_count():
    tracker = masktrack()
    tracker.link(frame(0, [[0, 0, 10, 10]], [0.9], categories=[2], embeddings=[[4, 0]]))
    # By its appearance it keeps its id in spite of box and label.
    second = frame(1, [[50, 0, 60, 10]], [0.9], categories=[1], embeddings=[[40, 0]])
    assert tracker.link(second) == [0]
    output = frame(2, [[50, 0, 60, 10]], [1.0], categories=[2]).output
    scores, _ = MemoryTracker.scores(tracker, output)
    torch.testing.assert_close(scores, torch.tensor([[12.0]]))


def test_in_mmtracking_the_latest_label_counts():
    tracker = masktrack("mmtracking")
    tracker.link(frame(0, [[0, 0, 10, 10]], [0.9], categories=[2], embeddings=[[4, 0]]))
    tracker.link(frame(1, [[0, 0, 10, 10]], [0.9], categories=[1], embeddings=[[40, 0]]))
    output = frame(2, [[0, 0, 10, 10]], [1.0], categories=[1]).output
    torch.testing.assert_close(MemoryTracker.scores(tracker, output)[0], torch.tensor([[12.0]]))


def test_boxes_without_area_do_not_overlap():
    tracker = iou_plus()
    tracker.link(frame(0, [[5, 5, 5, 5]], [0.9]))
    scores, _ = tracker.scores(frame(1, [[5, 5, 5, 5]], [1.0]).output)
    assert scores.tolist() == [[10.0]]


def test_the_detection_with_the_higher_score_gets_the_id():
    tracker = iou_plus()
    tracker.link(frame(0, [[0, 0, 10, 10]], [0.9]))
    assert tracker.link(frame(1, [[0, 0, 10, 10], [1, 0, 11, 10]], [0.2, 0.9])) == [1, 0]


def test_an_object_is_forgotten_after_max_age():
    places = [(30, 30)] * (2 * MAX_AGE + 4)
    for gap, ids in ((MAX_AGE - 1, [0]), (MAX_AGE, [0, 1])):
        missed = [("a", t) for t in range(1, 1 + gap)]
        assert id_runs(track("iou_plus", Scene({"a": Object(places)}, missed))["a"]) == ids


@pytest.mark.parametrize(("other", "ids"), [([], [0]), ([[80, 0, 90, 10]], [2, 1])])
def test_in_mmtracking_objects_are_forgotten_in_frames_with_detections(other, ids):
    tracker = masktrack("mmtracking")
    there, looks = [[0, 0, 10, 10]], torch.tensor([[4, 0], [0, 4]])
    tracker.link(frame(0, there, [0.9], embeddings=looks[:1].tolist()))
    for t in range(1, MAX_AGE + 1):
        found = frame(t, other, [0.9] * len(other))
        found.output.embeddings = looks[1 : 1 + len(other)].float()
        tracker.link(found)
    boxes = there + other
    back = frame(MAX_AGE + 1, boxes, [0.9] * len(boxes), embeddings=looks[: len(boxes)].tolist())
    assert tracker.link(back) == ids


def test_the_learned_term():
    tracker = masktrack()
    first = frame(0, [[0, 0, 9, 9], [20, 0, 29, 9]], [0.9, 0.9], embeddings=[[1, 0], [0, 2]])
    known, new = tracker.appearance_scores(first.output)
    assert known.shape == (2, 0) and new.tolist() == [0, 0]
    tracker.link(first)

    def probabilities(*embeddings):
        boxes = torch.zeros(len(embeddings), 4).tolist()
        output = frame(1, boxes, [0.9] * len(boxes), embeddings=embeddings).output
        return [x.exp() for x in tracker.appearance_scores(output)]

    known, new = probabilities([3.0, 0.5])
    total = 1 + math.exp(3) + math.exp(1)
    torch.testing.assert_close(known, torch.tensor([[math.exp(3), math.exp(1)]]) / total)
    torch.testing.assert_close(new, torch.tensor([1 / total]))
    # The latest embedding counts.
    assert tracker.link(frame(1, [[0, 0, 9, 9]], [0.9], embeddings=[[5, 0]])) == [0]
    known, _ = probabilities([1.0, 0.0])
    total = 1 + math.exp(5) + 1
    torch.testing.assert_close(known, torch.tensor([[math.exp(5), 1]]) / total)
    nothing = frame(2, [], [])
    nothing.output.embeddings = torch.zeros(0, 2)
    assert [x.shape for x in tracker.appearance_scores(nothing.output)] == [(0, 2), (0,)]
    assert tracker.link(nothing) == []


def test_the_better_of_two_matches_gets_the_id_in_any_order():
    boxes, ids = [[0, 0, 10, 10], [1, 0, 11, 10]], []
    for order in ([0, 1], [1, 0]):
        tracker = masktrack()
        assert tracker.link(frame(0, boxes[:1], [0.9], embeddings=[[4, 0]])) == [0]
        # Both look like the object, the second a bit more.
        embeddings = [[3, 0], [4, 0]]
        found = frame(
            1, [boxes[i] for i in order], [0.9, 0.9], embeddings=[embeddings[i] for i in order]
        )
        ids.append(tracker.link(found))
    # Overlap outweighs that: exp(12) and exp(16) are both nearly certain.
    assert ids == [[0, 1], [1, 0]]


def test_the_loser_gets_its_next_best_id():
    tracker = masktrack()
    known = [[0, 0, 10, 10], [30, 0, 40, 10]]
    assert tracker.link(frame(0, known, [0.9, 0.9], embeddings=[[4, 0], [3, 1]])) == [0, 1]
    # The first one overlaps object 0 and looks most like it, but the second one even more.
    boxes, embeddings = [[5, 0, 15, 10], [0, 0, 10, 10]], [[4, 0.5], [5, 0]]
    assert tracker.link(frame(1, boxes, [0.5, 0.9], embeddings=embeddings)) == [1, 0]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_in_mmtracking_weaker_matches_of_an_object_are_dropped(order):
    tracker = masktrack("mmtracking")
    known = [[0, 0, 10, 10], [30, 0, 40, 10]]
    assert tracker.link(frame(0, known, [0.9, 0.9], embeddings=[[4, 0], [3, 1]])) == [0, 1]
    # Two look like object 0, and something new is there. Nothing looks most like object 1.
    boxes, embeddings = [[5, 0, 15, 10], [0, 0, 10, 10], [60, 0, 70, 10]], [[4, 0], [5, 0], [0, 0]]
    found = frame(
        1,
        [boxes[i] for i in order],
        [0.9] * 3,
        embeddings=[embeddings[i] for i in order],
        categories=[(0, 0, 1)[i] for i in order],
    )
    assert tracker.link(found) == [(None, 0, 2)[i] for i in order]
    assert tracker.objects[0].box.tolist() == boxes[1]


def test_in_mmtracking_detections_of_one_box_have_different_categories():
    tracker = masktrack("mmtracking")
    (first,) = tracker.add(frame(0, [[0, 0, 10, 10]], [0.9], categories=[1], embeddings=[[1, 0]]))
    assert first.ids == [0]
    # NMS kept one box as category 0 and as category 1.
    found = frame(1, [[0, 0, 10, 10]] * 2, [0.5, 0.4], embeddings=[[1, 0]] * 2)
    found.output.class_scores = torch.tensor([[0.5, 0.4, 0.05, 0.05]] * 2)
    (second,) = tracker.add(found)
    assert second.ids == [1, 0]
    expected = torch.tensor([[0.5, 0, 0, 0], [0, 0.4, 0, 0]])
    torch.testing.assert_close(second.class_scores, expected)
    # With the most probable category, both would be a new object.
    assert masktrack().add(found)[0].class_scores is None


def test_an_unknown_variant_raises():
    with pytest.raises(InputError, match=r"VARIANT must be one of \('original', 'mmtracking'\)"):
        masktrack("other")


def test_appearance_identifies_objects_after_a_swap_and_a_long_gap():
    left, right, length = (30, 20), (90, 20), MAX_AGE + 12
    a = Object([left if t < 7 else right for t in range(length)], appearance=1)
    b = Object([right if t < 7 else left for t in range(length)], appearance=2)
    found = track("masktrack", Scene({"a": a, "b": b}))
    assert [id_runs(found[name]) for name in "ab"] == [[0], [1]]
    # By their boxes they are confused.
    assert id_runs(track("iou_plus", Scene({"a": a, "b": b}))["a"]) == [0, 1]
    for gap, ids in ((MAX_AGE - 1, [0]), (MAX_AGE, [0, 2])):
        missed = [("a", t) for t in range(7, 7 + gap)]
        assert id_runs(track("masktrack", Scene({"a": a, "b": b}, missed))["a"]) == ids


def test_another_appearance_in_the_same_place_is_a_new_object():
    places = [(30, 20)] * 12
    missed = [("a", t) for t in range(6, 12)] + [("b", t) for t in range(6)]
    found = track("masktrack", Scene({"a": Object(places, 1), "b": Object(places, 2)}, missed))
    assert [id_runs(found[name]) for name in "ab"] == [[0], [1]]


def test_a_network_without_embeddings_is_rejected():
    with pytest.raises(MissingWeightsError, match=r"Train .*/maskprop_tiny_masktrack\.yaml"):
        masktrack().add(frame(0, [[0, 0, 10, 10]], [0.9]))
