"""Tracks that divide, such as cells: ``LINKING.DIVISION``."""

import pytest
import torch

from maskprop_d2.errors import InputError
from maskprop_d2.structures import ClipTracks
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.matching import find_divisions

WHOLE, LEFT, RIGHT, APART = (0, 8), (0, 4), (4, 8), (12, 16)


def clip(t, *bars, appearance=None):
    """Objects that stand still in frames t - 1 .. t + 1, given by their first and last columns."""
    masks = torch.zeros(3, len(bars), 2, 20)
    for n, (first, last) in enumerate(bars):
        masks[:, n, :, first:last] = 1
    return ClipTracks(t, t - 1, masks, torch.full((len(bars), 2), 0.5), appearance)


def link(*clips, **options):
    tracker = build_tracker("maskprop", None, clip_radius=1, threshold=0.1, **options)
    return [tracker.link(x) for x in clips], tracker.parents


def test_a_dividing_track_ends_and_its_daughters_have_it_as_parent():
    clips = [
        clip(0, APART, WHOLE),
        clip(1, LEFT, APART, RIGHT),
        clip(2, RIGHT, LEFT, APART),
        clip(3, RIGHT, LEFT, APART),
    ]
    ids, parents = link(*clips, division=0.3)
    assert ids == [[0, 1], [3, 0, 2], [2, 3, 0], [2, 3, 0]]
    assert parents == {2: 1, 3: 1}


def test_without_divisions_one_daughter_continues_the_track():
    ids, parents = link(clip(0, WHOLE), clip(1, LEFT, RIGHT), clip(2, LEFT, RIGHT))
    assert ids == [[0], [0, 1], [0, 1]]
    assert parents == {}


def test_a_divided_track_does_not_continue():
    """Its clips still overlap those of the next frames, and would match what is in its place."""
    ids, _ = link(clip(0, WHOLE), clip(1, LEFT, RIGHT), clip(2, WHOLE), division=0.3)
    assert ids == [[0], [2, 1], [1]]
    ids, _ = link(clip(0, WHOLE), clip(1, LEFT, RIGHT), clip(2, LEFT, RIGHT, WHOLE), division=0.9)
    assert ids == [[0], [0, 1], [0, 1, 2]]


def test_daughters_are_not_taken_for_the_return_of_the_divided_track():
    same = torch.tensor([[1.0, 0.0]])
    clips = [
        clip(0, WHOLE, appearance=same),
        clip(1, LEFT, RIGHT, appearance=same.repeat(2, 1)),
        clip(2, LEFT, RIGHT, appearance=same.repeat(2, 1)),
        clip(3, LEFT, RIGHT, appearance=same.repeat(2, 1)),
        clip(4, LEFT, RIGHT, appearance=same.repeat(2, 1)),
    ]
    ids, parents = link(*clips, division=0.3, appearance=0.1, memory=60)
    assert ids == [[0], *[[2, 1]] * 4]
    assert parents == {1: 0, 2: 0}


@pytest.mark.parametrize(
    ("scores", "ids", "expected"),
    [
        # A track with one claim does not divide.
        ([[0.5, 0.0], [0.0, 0.6]], [7, 8], {}),
        ([[0.5, 0.0], [0.4, 0.0]], [7, 9], {0: 7, 1: 7}),
        # The claim of a new track must score above the threshold.
        ([[0.5, 0.0], [0.2, 0.0]], [7, 9], {}),
        # It claims only the track that it matches best.
        ([[0.5, 0.0], [0.4, 0.45], [0.0, 0.1]], [7, 9, 10], {}),
        ([[0.5, 0.0], [0.4, 0.45], [0.0, 0.5]], [7, 9, 8], {1: 8, 2: 8}),
        # Nobody continues the track: both scored below the threshold of linking.
        ([[0.4, 0.0], [0.4, 0.0], [0.0, 0.0]], [9, 10, 11], {0: 7, 1: 7}),
        # Three daughters.
        ([[0.4, 0.0], [0.5, 0.0], [0.4, 0.0]], [9, 7, 10], {0: 7, 1: 7, 2: 7}),
    ],
)
def test_claims(scores, ids, expected):
    assert find_divisions(torch.tensor(scores), [7, 8], ids, 0.3) == expected


def test_no_detection_and_no_track():
    assert find_divisions(torch.zeros(0, 2), [7, 8], [], 0.3) == {}
    assert find_divisions(torch.zeros(2, 0), [], [0, 1], 0.3) == {}


@pytest.mark.parametrize("options", [{"division": -0.1}, {"division": 0.3, "exclusive": False}])
def test_wrong_options_are_refused(options):
    with pytest.raises(InputError, match="division"):
        link(**options)
