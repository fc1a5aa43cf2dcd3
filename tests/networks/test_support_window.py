"""The support window, with a block that records which frames support each other."""

import pytest
import torch

from maskprop_d2.networks.base import FrameBatch
from maskprop_d2.networks.stsn import SupportWindow


class Block:
    """A sampling block for pyramids whose values are the indices of their frames."""

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


def batches(length, size, consumed=None):
    for start in range(0, length, size):
        index = torch.arange(start, min(start + size, length)).float()[:, None, None, None]
        if consumed is not None:
            consumed.append(index)
        yield FrameBatch(index.expand(-1, 3, 2, 2), {"p2": index, "p3": index.clone()}, None)


@pytest.mark.parametrize("size", [1, 2, 4, 20])
@pytest.mark.parametrize("radius", [0, 1, 3, 12])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_each_frame_is_supported_by_its_neighbors_for_any_batch_size(length, radius, size):
    block = Block(radius)
    found = []
    for frames, pyramid, _ in SupportWindow(block).stream(batches(length, size)):
        assert 1 <= len(frames) <= size
        assert torch.equal(frames[:, :1, :1, :1], pyramid["p2"])
        assert torch.equal(pyramid["p3"], pyramid["p2"] + 100)
        found += pyramid["p2"].flatten().tolist()
    assert found == list(range(length))
    assert block.supported_by == {
        t: [s for s in range(length) if 0 < abs(s - t) <= radius] for t in range(length)
    }


@pytest.mark.parametrize(("radius", "size"), [(0, 3), (2, 1), (2, 4), (5, 2)])
def test_frame_is_returned_once_its_supports_have_arrived(radius, size):
    consumed = []
    stream = SupportWindow(Block(radius)).stream(batches(40, size, consumed))
    for _, pyramid, _ in stream:
        last = int(pyramid["p2"][-1])
        arrived = sum(len(x) for x in consumed)
        assert arrived <= last + radius + size
        assert arrived >= min(last + radius + 1, 40)


@pytest.mark.parametrize(("radius", "size"), [(3, 4), (5, 1)])
def test_window_does_not_grow_with_the_video(radius, size):
    window = SupportWindow(Block(radius))
    sizes = [(len(window._plain), len(window._waiting)) for _ in window.stream(batches(99, size))]
    # Between batches: levels of K returned and K waiting frames, and the K waiting frames.
    assert max(sizes) == (2 * radius, radius)
    assert sizes[-1] == (radius, 0)
