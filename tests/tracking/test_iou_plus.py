import math

import numpy as np
import torch
from scenes import Object, Scene, pieces, track

from maskprop_d2.structures import Frame
from maskprop_d2.tracking.memory import MAX_AGE, Memory


def frame(t, boxes, categories, scores):
    scene = Scene({"a": Object([(0, 0)])}, missed=[("a", 0)])
    (output,) = scene.detect(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    output.boxes_video = torch.tensor(boxes).float()
    output.scores = torch.tensor(scores)
    output.class_scores = torch.eye(4)[categories]
    output.embeddings = None
    return Frame(t, np.zeros((4, 4, 3), np.uint8), output)


def test_the_published_score():
    memory = Memory()
    first = frame(0, [[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1], [0.9, 0.8])
    assert memory.update(first, [None, None]) == [0, 1]
    scores, new, ids = memory.cues(frame(1, [[5, 0, 15, 10]], [0], [0.5]))
    assert ids == [0, 1]
    third = 2 / 3
    expected = [[math.log(0.5) + third + 10, math.log(0.5)]]
    torch.testing.assert_close(scores, torch.tensor(expected))
    torch.testing.assert_close(new, torch.tensor([math.log(0.5) + 10]))


def test_boxes_are_renewed_labels_are_not():
    memory = Memory()
    memory.update(frame(0, [[0, 0, 10, 10]], [2], [0.9]), [None])
    memory.update(frame(1, [[50, 0, 60, 10]], [1], [0.9]), [0])
    scores, _, _ = memory.cues(frame(2, [[50, 0, 60, 10]], [2], [1.0]))
    torch.testing.assert_close(scores, torch.tensor([[12.0]]))


def test_memory_stays_constant():
    still = [(30, 30)] * (2 * MAX_AGE + 4)
    gone = [("a", t) for t in range(1, MAX_AGE)]
    assert pieces(track("iou_plus", Scene({"a": Object(still)}, gone))["a"]) == [0]
    gone = [("a", t) for t in range(1, MAX_AGE + 1)]
    assert pieces(track("iou_plus", Scene({"a": Object(still)}, gone))["a"]) == [0, 1]


def test_a_surer_detection_has_the_id_that_two_want():
    memory = Memory()
    memory.update(frame(0, [[0, 0, 10, 10]], [0], [0.9]), [None])
    scores, _, _ = memory.cues(frame(1, [[0, 0, 10, 10], [1, 0, 11, 10]], [0, 0], [0.2, 0.9]))
    assert scores[1] > scores[0]
