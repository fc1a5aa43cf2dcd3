"""Linking by appearance, and the memory of tracks that are hidden."""

import pytest
import torch

from maskprop_d2.errors import InputError
from maskprop_d2.structures import ClipTracks
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.clip_tracker import RETURN_FRAMES

RED, BLUE = torch.eye(3)[0], torch.eye(3)[1]
PERSON, CAR = torch.tensor([0.9, 0.0, 0.1]), torch.tensor([0.0, 0.9, 0.1])


def tracker(**options):
    options = {"clip_radius": 1, "match": "near", "appearance": 0.2, "memory": 10, **options}
    return build_tracker("maskprop", None, threshold=0.03, **options)


def clip(center, *objects):
    """A clip of three frames; objects are (column, appearance[, class scores])."""
    masks = torch.zeros(3, len(objects), 2, 40)
    for n, (column, *_) in enumerate(objects):
        masks[:, n, :, column : column + 4] = 1
    looks = torch.stack([x[1] for x in objects]) if objects else torch.zeros(0, 3)
    scores = torch.stack([(*x, PERSON)[2] for x in objects]) if objects else torch.zeros(0, 3)
    return ClipTracks(center, center - 1, masks, scores, looks)


def link(linker, *clips):
    return [linker.link(x) for x in clips]


def hidden_for(frames, *, first=(0, RED), back=(30, RED), **options):
    """The ids of an object before and after it is hidden, when it comes back elsewhere."""
    clips = [clip(0, first), *(clip(t) for t in range(1, frames + 1)), clip(frames + 1, back)]
    ids = link(tracker(**options), *clips)
    return ids[0][0], ids[-1][0]


@pytest.mark.parametrize("frames", [0, 5, 9])
def test_hidden_object_is_recognized_by_its_appearance(frames):
    before, after = hidden_for(frames)
    assert before == after


@pytest.mark.parametrize(
    "change",
    [
        {"memory": 5},
        {"appearance": 0.0},
        {"back": (30, BLUE)},
        {"back": (30, RED, CAR), "categories": 1.0},
    ],
)
def test_hidden_object_is_new(change):
    """After the memory ends, without the term, with another look or category."""
    before, after = hidden_for(6, **change)
    assert before != after


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_another_category_matters_little_with_a_small_weight(weight):
    before, after = hidden_for(6, back=(30, RED, CAR), categories=weight)
    assert before == after


def comes_into_view(*, new_for=0, back=RED, **options):
    """The ids of a hidden object that looks like another one for some frames when it is back."""
    clips = [clip(0, (0, RED)), *(clip(t) for t in range(1, 6))]
    clips += [clip(t, (30, BLUE)) for t in range(6, 7 + new_for)]
    clips += [clip(t, (30, back)) for t in range(7 + new_for, 10 + new_for)]
    ids = link(tracker(memory=30, **options), *clips)
    return [x[0] for x in ids if x]


def test_returning_object_gets_its_id_back_when_it_is_recognized():
    assert comes_into_view() == [0, 1, 0, 0, 0]


def test_a_track_that_is_not_new_keeps_its_id():
    assert set(comes_into_view(new_for=RETURN_FRAMES)) == {0, 1}
    assert comes_into_view(new_for=RETURN_FRAMES)[-1] == 1


def test_another_object_keeps_its_new_id():
    mixed = torch.tensor([0.6, 0.0, 0.8])
    assert comes_into_view(back=mixed) == [0, 1, 1, 1, 1]


def test_an_object_that_was_there_before_does_not_get_the_id_of_a_hidden_one():
    clips = [clip(0, (0, RED), (20, BLUE)), *(clip(t, (20, BLUE)) for t in range(1, 6))]
    ids = link(tracker(), *clips, clip(6, (20, RED)))
    assert ids[-1] == [1]


def test_appearance_tells_objects_apart_that_swap_places():
    clips = clip(0, (0, RED), (10, BLUE)), clip(1, (2, BLUE), (12, RED))
    assert link(tracker(appearance=0.0), *clips)[1] == [0, 1]
    assert link(tracker(appearance=2.0), *clips)[1] == [1, 0]


def test_overlap_decides_between_objects_that_look_alike():
    clips = clip(0, (0, RED), (10, RED)), clip(1, (11, RED), (1, RED))
    assert link(tracker(), *clips)[1] == [1, 0]


def test_remembered_appearance_follows_the_object():
    turning = [torch.tensor([torch.cos(a), torch.sin(a), 0.0]) for a in torch.linspace(0, 1.5, 16)]
    clips = [clip(t, (0, look)) for t, look in enumerate(turning)]
    gone = [clip(t) for t in range(16, 22)]
    ids = link(tracker(), *clips, *gone, clip(22, (30, turning[-1]), (20, turning[0])))
    assert ids[-1] == [0, 1]


def test_memory_does_not_grow_with_the_video():
    linker = tracker()
    for t in range(200):
        look = torch.zeros(300)
        look[t] = 1
        one = clip(t, (0, RED))
        one.appearance = look[None]
        # A new object in each frame, on the other side of the frame than the one before.
        one.masks = one.masks.roll(20 * t, dims=-1)
        linker.link(one)
    assert len(linker._memory) <= 10


@pytest.mark.parametrize("option", ["appearance", "memory"])
def test_negative_values_are_refused(option):
    with pytest.raises(InputError, match="appearance and memory must not be negative"):
        tracker(**{option: -1})
