"""Linking over carried masks, with a propagator that moves every mask one cell to the right."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.memory import MAX_AGE

SIZE = 6, 60


class OneCellRight:
    """Notes which frames' maps it sees."""

    def __init__(self):
        self.carried = []
        self.remembered = []

    def appearances(self, masks, maps):
        self.remembered += [maps["t"]] * len(masks)
        return [maps["t"]] * len(masks)

    def carry(self, masks, source, target, appearances):
        self.carried.append((source["t"], target["t"], appearances))
        return masks.roll(1, 2)


def run(frames, threshold=0.3, propagator=None):
    """The ids of frames, each a list of (left column, category) of objects 4 cells wide."""
    network = SimpleNamespace(mask_propagator=lambda method: propagator or OneCellRight())
    make = build_tracker("osmn", clip_radius=1, threshold=threshold, exclusive=True)
    tracker = make(network)
    ids = []
    for t, objects in enumerate(frames):
        masks = torch.zeros(len(objects), *SIZE)
        for mask, (left, _) in zip(masks, objects, strict=True):
            mask[1:5, left : left + 4] = 1
        classes = torch.full((len(objects), 4), 0.1)
        for row, (_, category) in zip(classes, objects, strict=True):
            row[category] = 0.7
        boxes = torch.zeros(len(objects), 4)
        output = FrameOutput(boxes, classes.amax(1), classes, masks, masks, boxes, {"t": t})
        (tracked,) = tracker.add(Frame(t, np.zeros((4, 4, 3), np.uint8), output))
        ids.append(tracked.ids)
    assert tracker.finish() == [] and tracker.clip_radius == 0
    return ids


def test_where_a_mask_is_carried_to_counts_not_where_it_was():
    # The second object comes to where the first one was; it has gone on.
    assert run([[(4, 0)], [(4, 0), (5, 0)]], threshold=0.7) == [[0], [1, 0]]


def test_a_track_goes_on_where_it_is_not_detected():
    assert run([[(4, 0)], [], [], [(7, 0)]], threshold=0.9) == [[0], [], [], [0]]
    # Detected again, it is where the detection is, not where it was carried to.
    assert run([[(4, 0)], [(6, 0)], [(8, 0)]], threshold=0.5) == [[0], [0], [0]]


def test_it_overlaps_better_or_is_of_the_category():
    first = [(4, 0), (6, 1)]
    # Both overlap with both; the categories decide.
    assert run([first, [(6, 0), (6, 1)]]) == [[0, 1], [0, 1]]
    assert run([first, [(6, 1), (6, 0)]]) == [[0, 1], [1, 0]]
    # A category that is wrong once does not cut a track, one far away does not bring it here.
    assert run([[(4, 0)], [(5, 2)]]) == [[0], [0]]
    assert run([[(4, 0)], [(30, 0)]]) == [[0], [1]]


def test_the_category_is_that_of_all_detections_together():
    frames = [[(4, 0)], [(5, 0)], [(6, 1)], [(7, 1), (7, 0)]]
    assert run(frames) == [[0], [0], [0], [1, 0]]


def test_what_it_remembers_is_of_the_first_frame_and_what_it_carries_of_the_one_before():
    propagator = OneCellRight()
    run([[], [(4, 0)], [(5, 0), (30, 0)], []], propagator=propagator)
    assert propagator.remembered == [1, 2]
    assert propagator.carried == [(1, 2, [1]), (2, 3, [1, 2])]


@pytest.mark.parametrize(("frames", "ids"), [(MAX_AGE, [0]), (MAX_AGE + 1, [1])])
def test_an_object_that_is_long_gone_is_forgotten(frames, ids):
    gone = [[] for _ in range(frames - 1)]
    assert run([[(4, 0)], *gone, [(4 + frames, 0)]])[-1] == ids
