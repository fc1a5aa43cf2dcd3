"""The window of frames that support each other, around a block that notes who supports whom."""

import pytest
import torch

from maskprop_d2.networks.stsn import SupportWindow


class Block:
    """Levels hold their frame's index."""

    levels = ("p3",)

    def __init__(self, radius):
        self.radius = radius
        self.supported_by = {}

    def __call__(self, pyramid, supports):
        index = int(pyramid["p3"])
        assert index not in self.supported_by
        assert all(list(x) == ["p3"] for x in supports)
        self.supported_by[index] = [int(x["p3"]) for x in supports]
        return {**pyramid, "p3": pyramid["p3"] + 100}


def batches(length, size, given=None):
    for start in range(0, length, size):
        index = torch.arange(start, min(start + size, length)).float()[:, None, None, None]
        if given is not None:
            given.append(index)
        yield index.expand(-1, 3, 2, 2), {"p2": index, "p3": index.clone()}


@pytest.mark.parametrize("size", [1, 2, 4, 20])
@pytest.mark.parametrize("radius", [0, 1, 3, 12])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_each_frame_has_the_frames_around_it_whatever_the_batches(length, radius, size):
    block = Block(radius)
    found = []
    for frames, pyramid in SupportWindow(block).stream(batches(length, size)):
        assert 1 <= len(frames) <= size
        assert torch.equal(frames[:, :1, :1, :1], pyramid["p2"])
        assert torch.equal(pyramid["p3"], pyramid["p2"] + 100)
        found += pyramid["p2"].flatten().tolist()
    assert found == list(range(length))
    assert block.supported_by == {
        t: [s for s in range(length) if 0 < abs(s - t) <= radius] for t in range(length)
    }


@pytest.mark.parametrize(("radius", "size"), [(0, 3), (2, 1), (2, 4), (5, 2)])
def test_a_frame_comes_out_when_those_after_it_have_come_in(radius, size):
    given = []
    stream = SupportWindow(Block(radius)).stream(batches(40, size, given))
    for _, pyramid in stream:
        last = int(pyramid["p2"][-1])
        come_in = sum(len(x) for x in given)
        assert come_in <= last + radius + size
        assert come_in >= min(last + radius + 1, 40)


@pytest.mark.parametrize(("radius", "size"), [(3, 4), (5, 1)])
def test_the_window_does_not_grow_with_the_video(radius, size):
    window = SupportWindow(Block(radius))
    sizes = [(len(window._plain), len(window._waiting)) for _ in window.stream(batches(99, size))]
    # Between batches: K frames that have come out and K that wait, the latter whole.
    assert max(sizes) == (2 * radius, radius)
    assert sizes[-1] == (radius, 0)
