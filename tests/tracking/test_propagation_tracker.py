"""Linking over propagated masks, with a propagator that moves masks one cell to the right."""

from types import SimpleNamespace

import pytest
import torch

from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.propagation_tracker import MAX_AGE

GRID = 6, 60


class OneCellRight:
    """Records the frames whose maps it is given."""

    def __init__(self):
        self.template_frames = []
        self.propagated = []

    def templates(self, masks, maps):
        self.template_frames += [maps["t"]] * len(masks)
        return [maps["t"]] * len(masks)

    def propagate(self, masks, source, target, templates):
        self.propagated.append((source["t"], target["t"], templates))
        return masks.roll(1, 2)


def run(frames, threshold=0.3, propagator=None):
    """The ids in frames, each a list of (left column, category) of objects 4 cells wide."""
    propagator = propagator or OneCellRight()
    network = SimpleNamespace(mask_propagator=lambda method: propagator)
    tracker = build_tracker("osmn", network, threshold=threshold)
    ids = []
    for t, objects in enumerate(frames):
        masks = torch.zeros(len(objects), *GRID)
        for mask, (left, _) in zip(masks, objects, strict=True):
            mask[1:5, left : left + 4] = 1
        classes = torch.full((len(objects), 4), 0.1)
        for row, (_, category) in zip(classes, objects, strict=True):
            row[category] = 0.7
        boxes = torch.zeros(len(objects), 4)
        output = FrameOutput(boxes, classes.amax(1), classes, masks, masks, boxes, {"t": t})
        (tracked,) = tracker.add(Frame(t, None, output))
        ids.append(tracked.ids)
    assert tracker.finish() == [] and tracker.clip_radius == 0
    return ids


def test_the_propagated_mask_counts_not_the_previous_one():
    # The second object comes to where the first one was; the first has moved on.
    assert run([[(4, 0)], [(4, 0), (5, 0)]], threshold=0.7) == [[0], [1, 0]]


def test_a_track_continues_where_it_is_not_detected():
    assert run([[(4, 0)], [], [], [(7, 0)]], threshold=0.9) == [[0], [], [], [0]]
    # A detection replaces the propagated mask.
    assert run([[(4, 0)], [(6, 0)], [(8, 0)]], threshold=0.5) == [[0], [0], [0]]


def test_tracks_of_the_same_category_come_first():
    first = [(4, 0), (6, 1)]
    # Both overlap with both: the categories decide.
    assert run([first, [(6, 0), (6, 1)]]) == [[0, 1], [0, 1]]
    assert run([first, [(6, 1), (6, 0)]]) == [[0, 1], [1, 0]]
    # One wrong category does not end a track; an equal category does not replace overlap.
    assert run([[(4, 0)], [(5, 2)]]) == [[0], [0]]
    assert run([[(4, 0)], [(30, 0)]]) == [[0], [1]]


def test_the_category_of_a_track_is_that_of_all_its_detections():
    frames = [[(4, 0)], [(5, 0)], [(6, 1)], [(7, 1), (7, 0)]]
    assert run(frames) == [[0], [0], [0], [1, 0]]


def test_templates_are_of_the_first_frame_and_masks_of_the_previous_one():
    propagator = OneCellRight()
    run([[], [(4, 0)], [(5, 0), (30, 0)], []], propagator=propagator)
    assert propagator.template_frames == [1, 2]
    assert propagator.propagated == [(1, 2, [1]), (2, 3, [1, 2])]


@pytest.mark.parametrize(("frames", "ids"), [(MAX_AGE, [0]), (MAX_AGE + 1, [1])])
def test_a_track_ends_after_max_age(frames, ids):
    gap = [[] for _ in range(frames - 1)]
    assert run([[(4, 0)], *gap, [(4 + frames, 0)]])[-1] == ids
