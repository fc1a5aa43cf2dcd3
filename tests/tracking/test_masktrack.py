"""MaskTrack R-CNN's memory and matching; what it can do beside others is in ``test_methods``."""

import math

import numpy as np
import pytest
import torch
from scenes import Object, Scene, pieces, track

from maskprop_d2.errors import MissingWeightsError
from maskprop_d2.structures import Frame
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.memory import MAX_AGE, Memory


def frame(t, boxes, scores, embeddings, categories=None):
    (output,) = Scene({"a": Object([(0, 0)])}, missed=[("a", 0)]).detect(
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    )
    output.boxes_video = torch.tensor(boxes).float()
    output.scores = torch.tensor(scores)
    output.class_scores = torch.eye(4)[categories or [0] * len(boxes)]
    output.embeddings = torch.tensor(embeddings).float()
    return Frame(t, np.zeros((4, 4, 3), np.uint8), output)


def tracker(network=None):
    return build_tracker("masktrack", clip_radius=1, threshold=0.1, exclusive=True)(network)


def test_the_learned_term():
    memory = Memory()
    first = frame(0, [[0, 0, 9, 9], [20, 0, 29, 9]], [0.9, 0.9], [[1, 0], [0, 2]])
    known, new = memory.appearance(first.output.embeddings)
    assert known.shape == (2, 0) and new.tolist() == [0, 0]
    memory.update(first, [None, None])
    known, new = memory.appearance(torch.tensor([[3.0, 0.5]]))
    total = 1 + math.exp(3) + math.exp(1)
    torch.testing.assert_close(known.exp(), torch.tensor([[math.exp(3), math.exp(1)]]) / total)
    torch.testing.assert_close(new.exp(), torch.tensor([1 / total]))
    # The latest embedding counts, and no detection is none.
    memory.update(frame(1, [[0, 0, 9, 9]], [0.9], [[5, 0]]), [0])
    known, _ = memory.appearance(torch.tensor([[1.0, 0.0]]))
    total = 1 + math.exp(5) + 1
    torch.testing.assert_close(known.exp(), torch.tensor([[math.exp(5), 1]]) / total)
    assert [x.shape for x in memory.appearance(torch.zeros(0, 2))] == [(0, 2), (0,)]


def test_of_two_that_want_an_id_the_better_has_it_whichever_comes_first():
    boxes, ids = [[0, 0, 10, 10], [1, 0, 11, 10]], []
    for order in ([0, 1], [1, 0]):
        method = tracker()
        assert method.link(frame(0, boxes[:1], [0.9], [[4, 0]])) == [0]
        # Both look like it, and the second a bit more.
        looks = [[3, 0], [4, 0]]
        found = [boxes[i] for i in order], [0.9, 0.9], [looks[i] for i in order]
        ids.append(method.link(frame(1, *found)))
    # Its overlap outweighs that: exp(12) and exp(16) are both nearly certain.
    assert ids == [[0, 1], [1, 0]]


def test_a_loser_has_its_next_best_id():
    method = tracker()
    known = [[0, 0, 10, 10], [30, 0, 40, 10]]
    assert method.link(frame(0, known, [0.9, 0.9], [[4, 0], [3, 1]])) == [0, 1]
    # The first lies on object 0 and looks most like it, but so does the second, still more.
    found = frame(1, [[5, 0, 15, 10], [0, 0, 10, 10]], [0.5, 0.9], [[4, 0.5], [5, 0]])
    assert method.link(found) == [1, 0]


def test_appearance_tells_those_that_change_places_and_those_that_are_not_seen_for_long():
    left, right, length = (30, 20), (90, 20), MAX_AGE + 12
    a = Object([left if t < 7 else right for t in range(length)], look=1)
    b = Object([right if t < 7 else left for t in range(length)], look=2)
    found = track("masktrack", Scene({"a": a, "b": b}))
    assert [pieces(found[name]) for name in "ab"] == [[0], [1]]
    # Boxes say the contrary.
    assert pieces(track("iou_plus", Scene({"a": a, "b": b}))["a"]) == [0, 1]
    for gap, ids in ((MAX_AGE - 1, [0]), (MAX_AGE, [0, 2])):
        hidden = [("a", t) for t in range(7, 7 + gap)]
        assert pieces(track("masktrack", Scene({"a": a, "b": b}, hidden))["a"]) == ids


def test_one_of_another_look_in_the_same_place_is_new():
    places = [(30, 20)] * 12
    gone = [("a", t) for t in range(6, 12)] + [("b", t) for t in range(6)]
    found = track("masktrack", Scene({"a": Object(places, 1), "b": Object(places, 2)}, gone))
    assert [pieces(found[name]) for name in "ab"] == [[0], [1]]


def test_a_network_without_embeddings_is_refused():
    bare = frame(0, [[0, 0, 10, 10]], [0.9], [[1, 0]])
    bare.output.embeddings = None
    with pytest.raises(MissingWeightsError, match=r"Train .*/maskprop_tiny_masktrack\.yaml"):
        tracker().add(bare)
