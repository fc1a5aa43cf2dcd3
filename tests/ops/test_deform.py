import pytest
import torch

from maskprop_d2.ops.deform import deform_masked_features, sample_and_sum

DILATIONS = (1, 2, 5)


def random_case(num_masks=3, num_targets=2, height=9, width=11, channels=4, hidden=2):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {
        "masks": random(num_masks, height, width).sigmoid().requires_grad_(),
        "features": random(channels, height, width).requires_grad_(),
        # Far enough to leave the grid on all sides.
        "offsets": (random(num_targets, 27, 2, height, width) * 4).requires_grad_(),
        "weights": random(3, channels, channels, 3, 3).requires_grad_(),
        "layer": random(hidden, channels).requires_grad_(),
    }


def literal(case):
    propagated = torch.stack(
        [
            deform_masked_features(
                case["masks"], case["features"], offsets, case["weights"], DILATIONS
            )
            for offsets in case["offsets"]
        ]
    )
    return torch.einsum("dc,snchw->sndhw", case["layer"], propagated)


def fused(case):
    maps = torch.einsum("dc,gceij,ehw->dgijhw", case["layer"], case["weights"], case["features"])
    maps = maps.flatten(1, 3) / len(DILATIONS)
    return sample_and_sum(case["masks"], maps, case["offsets"], DILATIONS)


def assert_equal_with_gradients(actual, expected, inputs):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)
    upstream = torch.randn_like(expected)
    gradients = (torch.autograd.grad(x, inputs, upstream) for x in (actual, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(9, 11), (1, 1), (2, 13)])
def test_fused_equals_literal(size):
    case = random_case(height=size[0], width=size[1])
    assert_equal_with_gradients(fused(case), literal(case), list(case.values()))


def test_no_instances():
    assert fused(random_case(num_masks=0)).shape == (2, 0, 2, 9, 11)


def test_the_central_tap_without_offsets_copies_the_mask():
    masks = torch.rand(2, 6, 7)
    maps = torch.zeros(1, 27, 6, 7)
    maps[:, 4::9] = 1 / 3
    copied = sample_and_sum(masks, maps, torch.zeros(1, 27, 2, 6, 7), DILATIONS)
    torch.testing.assert_close(copied[0, :, 0], masks)


def test_sampling_with_bfloat16_inputs_uses_float32():
    case = {name: x.detach().float() for name, x in random_case().items()}
    low = {name: x.bfloat16() for name, x in case.items()}
    maps = torch.ones(1, 27, *case["masks"].shape[-2:])
    sampled = sample_and_sum(low["masks"], maps.bfloat16(), low["offsets"], DILATIONS)
    again = sample_and_sum(low["masks"].float(), maps, low["offsets"].float(), DILATIONS)
    assert sampled.dtype == torch.float32
    assert torch.equal(sampled, again)


@pytest.mark.parametrize(
    "rows, columns",
    [
        (slice(3, 6), slice(4, 7)),
        (slice(0, 3), slice(8, 11)),
        (slice(4, 5), slice(5, 6)),
        (slice(0, 0), slice(0, 0)),
    ],
    ids=["inside", "corner", "cell", "empty"],
)
@pytest.mark.parametrize("learned", [False, True])
def test_masks_that_cover_a_part_of_the_grid(rows, columns, learned):
    """Only some taps are active. Masks that need a gradient have one where they are 0, too."""
    case = random_case()
    masks = torch.zeros_like(case["masks"], requires_grad=False)
    masks[1:, rows, columns] = case["masks"].detach()[1:, rows, columns]
    case["masks"] = masks.requires_grad_(learned)
    inputs = [x for x in case.values() if x.requires_grad]
    assert_equal_with_gradients(fused(case), literal(case), inputs)


@pytest.mark.parametrize("far", [1e4, -1e12, float("inf"), float("nan")])
def test_taps_far_outside_sample_zero(far):
    case = random_case()
    case["offsets"] = torch.full_like(case["offsets"], far)
    sampled = fused(case)
    assert (sampled == 0).all()
    (gradient,) = torch.autograd.grad(sampled.sum(), case["features"])
    assert (gradient == 0).all()


def test_integer_offsets():
    case = random_case()
    case["offsets"] = case["offsets"].detach().round().requires_grad_()
    torch.testing.assert_close(fused(case), literal(case), rtol=0, atol=1e-10)
