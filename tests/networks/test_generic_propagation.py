"""The generic propagation network and its memory; the weights are those of the package."""

import pytest
import torch
from torch.nn import functional as F

from maskprop_d2.inference.generic import load_generic_propagation
from maskprop_d2.networks.generic_propagation import (
    EncodedFrame,
    GenericPropagation,
    MemoryFrame,
    SameConv,
)
from maskprop_d2.networks.propagation_memory import MAX_FRAMES, SPACING, PropagationMemory
from maskprop_d2.ops.masks import soft_masks


@pytest.fixture
def network():
    return load_generic_propagation("cpu")


def random_frame(seed=0, height=4, width=6):
    generator = torch.Generator().manual_seed(seed)
    keys = F.normalize(torch.randn(64, height, width, generator=generator), dim=0)
    features8 = torch.randn(32, height, width, generator=generator)
    features4 = torch.randn(16, 2 * height, 2 * width, generator=generator)
    return EncodedFrame(keys, features8, features4)


def random_masks(n, seed=0, height=16, width=24):
    logits = torch.randn(n + 1, height, width, generator=torch.Generator().manual_seed(seed))
    return logits.softmax(0)[:n]


@pytest.mark.parametrize(("height", "width"), [(64, 96), (50, 70), (16, 16)])
def test_shapes(network, height, width):
    frames = torch.rand(2, 3, height, width) * 255
    first, second = network.encode(frames)
    h, w = (-(-x // 16) * 16 for x in (height, width))
    assert first.keys.shape == (64, h // 8, w // 8)
    masks = torch.rand(3, h // 2, w // 2) / 3
    logits = network([MemoryFrame(0, first.keys, masks)], second, 1)
    assert logits.shape == (3, h // 2, w // 2)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_are_padded_like_those_of_tensorflow(kernel, stride):
    x = torch.randn(2, 6, 8, 10)
    convolution = SameConv(6, 6, kernel, stride, groups=6)
    total = kernel - stride
    before, after = total // 2, total - total // 2
    padded = F.pad(x, (before, after, before, after))
    expected = F.conv2d(padded, convolution.weight, convolution.bias, stride, groups=6)
    torch.testing.assert_close(convolution(x), expected)


def test_some_objects_are_decoded_as_all_are(network):
    target, shares = random_frame(0), torch.rand(3, 16, 4, 6) / 3
    some, every = network.decode(shares, target, [2, 0]), network.decode(shares, target)
    torch.testing.assert_close(some[[2, 0]], every[[2, 0]])
    assert not torch.allclose(some[1], every[1])


def test_objects_that_are_not_decoded_compete_for_cells(network):
    memory = PropagationMemory(network, keep_first=False)
    shares = torch.full((2, 16, 4, 6), 0.2)
    shares[1, :, 1:3, 2:5] = 0.99
    alone = memory.decode(shares[:1], random_frame(0), [0])
    (beside,) = memory.decode(shares, random_frame(0), [0])
    assert beside[4:12, 8:20].mean() < 0.6 * alone[0, 4:12, 8:20].mean()


def test_read_is_a_softmax_over_all_cells_of_the_memory(network):
    """Against a direct computation of the shares."""
    target, frames = random_frame(0), [random_frame(1), random_frame(2)]
    # Most cells of the first frame have no object.
    masks = [random_masks(2, 3), random_masks(2, 7)]
    masks[0][:, 8:] = 0
    memory = [MemoryFrame(t, x.keys, m) for t, x, m in zip((3, 7), frames, masks, strict=True)]
    places = torch.cartesian_prod(torch.arange(4.0), torch.arange(6.0))
    scores, values = [], []
    for x in memory:
        age = 8 - x.index
        penalty = network.log_penalty.exp() * age**-network.age_exponent
        similarity = target.keys.flatten(1).T @ x.keys.flatten(1)
        distance = torch.cdist(places, places).square()
        bias = network.age_bias * torch.tensor(float(age)).log()
        scores.append(network.log_scale.exp() * similarity - penalty * distance - bias)
        values.append(F.pixel_unshuffle(x.masks[:, None], 4).flatten(2))
    weights = torch.cat(scores, dim=1).softmax(1)
    expected = torch.einsum("pq,nvq->nvp", weights, torch.cat(values, dim=2))
    shares = network.read(memory, target, 8)
    torch.testing.assert_close(shares.flatten(2), expected, atol=1e-5, rtol=1e-4)


def test_order_of_the_objects_does_not_matter(network):
    target, source = random_frame(0), random_frame(1)
    masks = random_masks(3)
    there = network([MemoryFrame(0, source.keys, masks)], target, 1)
    back = network([MemoryFrame(0, source.keys, masks.flip(0))], target, 1)
    torch.testing.assert_close(back.flip(0), there, atol=1e-5, rtol=1e-4)


def test_soft_masks_add_up_to_at_most_one():
    masks = soft_masks(torch.randn(4, 5, 6))
    assert masks.shape == (4, 5, 6)
    assert (masks.sum(0) < 1).all() and (masks > 0).all()


def test_gradients_reach_all_parameters():
    network = GenericPropagation()
    source, target = network.encode(torch.rand(2, 3, 32, 48) * 255)
    masks = random_masks(2)
    memory = [MemoryFrame(0, source.keys, masks), MemoryFrame(2, target.keys, masks)]
    network(memory, target, 4).square().sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def filled_memory(network, length, **options):
    memory = PropagationMemory(network, keep_first=True, **options)
    for t in range(length):
        memory.add(random_frame(t), t, random_masks(2))
    return memory


def test_memory_keeps_the_first_and_the_latest_frame_and_some_between(network):
    for length in (1, 2, 3, 10, 40):
        frames = [x.index for x in filled_memory(network, length).frames]
        assert len(frames) <= MAX_FRAMES
        assert frames[0] == 0 and frames[-1] == length - 1
    assert frames[-1] - frames[-2] <= SPACING


def test_new_objects_are_empty_in_earlier_frames(network):
    memory = PropagationMemory(network, keep_first=False)
    memory.add(random_frame(0), 0, random_masks(1))
    memory.add(random_frame(1), 1, random_masks(3))
    assert [len(x.masks) for x in memory.frames] == [3, 3]
    assert not memory.frames[0].masks[1:].any()
    memory.keep([2])
    torch.testing.assert_close(memory.frames[1].masks, random_masks(3)[2:])
