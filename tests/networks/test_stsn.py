"""The sampling block of STSN."""

import pytest
import torch
from torch.nn import functional as F

from maskprop_d2.errors import InputError
from maskprop_d2.networks.stsn import (
    SpatiotemporalSampling,
    join_frames,
    split_frames,
)

C = 8


def block(levels=("p3",), radius=2):
    torch.manual_seed(0)
    return SpatiotemporalSampling(levels=list(levels), in_channels=C, channels=16, radius=radius)


def with_offsets(module):
    for layer in [*module.motion, module.sampling]:
        torch.nn.init.normal_(layer.offsets.weight, std=0.2)
    return module


def features(number=1, size=(12, 15), seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(number, C, size[0] + 4, size[1] + 4, generator=generator)
    # Smooth, so that positions between two cells can be interpolated.
    return 5 * F.avg_pool2d(noise, 5, 1)


@pytest.mark.parametrize("number", [0, 1, 4])
def test_untrained_block_keeps_equal_frames(number):
    frame = {"p3": features(2)}
    found = block()(frame, [frame] * number)
    torch.testing.assert_close(found["p3"], frame["p3"], rtol=0, atol=1e-6)


def test_untrained_block_hardly_uses_different_frames():
    frame, other = features(), features(seed=1)
    found = block()({"p3": frame}, [{"p3": other}])["p3"]
    assert 1e-4 < (found - frame).norm() / (other - frame).norm() < 0.1


def test_weights_are_a_softmax_of_similarities():
    module = with_offsets(block())
    frame, *supports = (features(seed=i) for i in range(4))
    sampled = [frame, *(module.sample(frame, x) for x in supports)]
    embedded = [F.normalize(module.embedding(x), dim=1) for x in sampled]
    similarity = torch.stack([(embedded[0] * x).sum(1, keepdim=True) for x in embedded])
    for sharpness in (1e-9, 1.0, 10.0):
        module.log_sharpness.data = torch.tensor(sharpness).log()
        weights = (sharpness * similarity).softmax(0)
        expected = (weights * torch.stack(sampled)).sum(0)
        found = module({"p3": frame}, [{"p3": x} for x in supports])["p3"]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_offsets_compensate_motion():
    module = block()
    frame = features(size=(12, 16))
    support = frame.roll((2, -3), dims=(2, 3))
    # For every tap, in the order (y, x).
    module.sampling.offsets.bias.data = torch.tensor([2.0, -3.0]).repeat(9)
    inside = (..., slice(2, -2), slice(3, -3))
    sampled = module.sample(frame, support)
    torch.testing.assert_close(sampled[inside], frame[inside], rtol=0, atol=1e-5)
    found = module({"p3": frame}, [{"p3": support}])["p3"]
    torch.testing.assert_close(found[inside], frame[inside], rtol=0, atol=1e-5)


def test_it_learns_to_follow_motion():
    module = block()
    frames = features(2, (8, 12))
    supports = frames.roll(2, dims=3)
    inside = (..., slice(2, -2))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    # The convolution stays a copy, so only offsets are learned.
    module.sampling.conv.requires_grad_(False)
    errors = []
    for _ in range(40):
        errors.append((module.sample(frames, supports) - frames)[inside].square().mean())
        optimizer.zero_grad()
        errors[-1].backward()
        optimizer.step()
    assert errors[-1] < 0.3 * errors[0]


def test_every_weight_has_a_gradient():
    module = with_offsets(block())
    module({"p3": features()}, [{"p3": features(seed=1)}])["p3"].square().sum().backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad != 0).any(), name


def test_levels_of_the_block_are_supported_with_the_same_weights():
    module = with_offsets(block(["p3", "p4"]))
    frame, support = ({x: features(seed=i) for x in ("p2", "p3", "p4")} for i in range(2))
    # Other levels of supporting frames are not needed.
    del support["p2"]
    found = module(frame, [support])
    assert list(found) == ["p2", "p3", "p4"]
    assert torch.equal(found["p2"], frame["p2"])
    assert torch.equal(found["p3"], found["p4"]) and not torch.equal(found["p3"], frame["p3"])


def test_supports_in_16_bits():
    module = with_offsets(block())
    frame, support = ({"p3": features(seed=i)} for i in range(2))
    exact = module(frame, [support])["p3"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module({"p3": frame["p3"].bfloat16()}, [{"p3": support["p3"].bfloat16()}])["p3"]
    assert mixed.dtype == torch.bfloat16
    assert (mixed - exact).abs().mean() < 0.02 * exact.abs().mean()


def test_frames_of_each_training_clip_support_each_other():
    """Two clips of three frames: first frames, second frames, third frames."""
    module = with_offsets(block())
    pyramid = {"p2": features(6, (4, 4), seed=1), "p3": features(6)}
    found = module.enhance_clips(pyramid, 2)
    frames = split_frames(pyramid)
    for i, frame in enumerate(frames):
        others = [frames[j] for j in range(i % 2, 6, 2) if j != i]
        expected = module(frame, others)
        torch.testing.assert_close(found["p3"][i], expected["p3"][0], rtol=1e-4, atol=1e-4)
        assert torch.equal(found["p2"][i], pyramid["p2"][i])


def test_pyramids_are_split_and_joined():
    pyramid = {"p2": features(5, (4, 4)), "p3": features(5)}
    parts = split_frames(pyramid, 2)
    assert [len(x["p3"]) for x in parts] == [2, 2, 1]
    joined = join_frames(parts)
    assert all(torch.equal(joined[name], pyramid[name]) for name in pyramid)


@pytest.mark.parametrize("radius", [-1, 10**6, 1.5, "2", None])
def test_invalid_radius_raises(radius):
    with pytest.raises(InputError, match=r"STSN\.RADIUS must be an integer from 0 to 1000"):
        block(radius=radius)
