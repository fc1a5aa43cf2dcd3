"""Colour histograms, and assignment of ids."""

import numpy as np
import pytest
import torch

from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking.matching import IdAssigner, color_histograms, match_greedily


def test_histograms_compare_the_colors_under_the_masks():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 10:] = (250, 20, 20)
    # The last box lies outside the frame.
    boxes = [[0, 0, 10, 20], [10, 0, 20, 20], [20, 5, 30, 15], [5, 0, 15, 20], [40, 0, 50, 10]]
    boxes = torch.tensor(boxes).float()
    zeros = torch.zeros(5)
    output = FrameOutput(boxes, zeros, zeros, torch.ones(5, 4, 4), zeros, zeros)
    vectors = color_histograms(Frame(0, image, output))
    expected = np.eye(5)
    expected[1, 2] = expected[2, 1] = 1
    # Half black, half red: the Bhattacharyya coefficient with each is the root of a half.
    expected[3, :3] = expected[:3, 3] = np.sqrt(0.5)
    expected[4, 4] = 0
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-6)
    # Refined masks fill crops around the boxes.
    output.boxes_video, output.crops_video = torch.zeros(5, 4), boxes
    np.testing.assert_array_equal(color_histograms(Frame(0, image, output)), vectors)


def test_exclusive_assignment_maximizes_the_sum_above_the_threshold():
    scores = torch.tensor([[0.9, 0.8], [0.85, 0.1]])
    assert IdAssigner(0.2, exclusive=True).assign(scores, [7, 8]) == [8, 7]
    assert IdAssigner(0.2, exclusive=False).assign(scores, [7, 8]) == [7, 7]
    # 0.1 is no match: it must not take id 8 from the first row.
    scores = torch.tensor([[0.3, 0.9], [0.0, 0.1]])
    assert IdAssigner(0.2, exclusive=True).assign(scores, [7, 8]) == [8, 0]


@pytest.mark.parametrize("exclusive", [True, False])
def test_scores_may_be_negative_distances(exclusive):
    scores = -torch.tensor([[60.0, 4.0], [3.0, 60.0], [60.0, 70.0]])
    assert IdAssigner(-50.0, exclusive).assign(scores, [7, 8]) == [8, 7, 0]


@pytest.mark.parametrize("exclusive", [True, False])
def test_assignment_without_detections_or_ids(exclusive):
    assigner = IdAssigner(0.1, exclusive)
    assert assigner.assign(torch.zeros(0, 2), [0, 1]) == []
    assert assigner.assign(torch.zeros(2, 0), []) == [0, 1]


def test_greedy_matching_gives_the_loser_its_next_best():
    scores = torch.tensor([[0.7, 0.2, 0.6], [0.9, 0.8, 0.1], [0.1, 0.1, 0.1]])
    assert match_greedily(scores, torch.tensor([0.3, 0.3, 0.3])) == [2, 0, None]
    # Its next best scores lower than no column.
    assert match_greedily(scores, torch.tensor([0.65, 0.3, 0.0])) == [None, 0, 1]
    assert match_greedily(torch.zeros(0, 2), torch.zeros(0)) == []
    assert match_greedily(torch.zeros(2, 0), torch.zeros(2)) == [None, None]
