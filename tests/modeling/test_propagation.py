import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec

from maskprop_d2 import add_maskprop_config
from maskprop_d2.modeling.propagation import OffsetPredictor, PropagationBranch
from maskprop_d2.modeling.propagation_loss import PropagationLoss


def branch(impl="fused", hidden=0, background=True, moved=True):
    torch.manual_seed(0)
    module = PropagationBranch(
        in_channels=6,
        offset_channels=8,
        num_groups=4,
        dilations=[1, 2, 3],
        hidden_dim=hidden,
        background=background,
        impl=impl,
    ).double()
    if moved:
        # Away from its initial values, at which the warp only copies.
        for parameter in module.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    return module


def run(module, masks, features):
    """Propagate from frame 0 to all frames."""
    maps = module.encode(features)
    source = {name: m[0] for name, m in maps.items()}
    return module(masks, source, maps)


def case(num_masks=3, size=(7, 9)):
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(num_masks, *size, generator=generator, dtype=torch.float64)
    features = torch.randn(3, 6, *size, generator=generator, dtype=torch.float64)
    return masks, features.requires_grad_()


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("hidden", [0, 4])
def test_fused_equals_literal_in_values_and_gradients(hidden, background):
    masks, features = case()
    outputs, gradients = [], []
    for impl in ("literal", "fused"):
        module = branch(impl, hidden, background)
        output = run(module, masks, features)
        weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        inputs = [features, *module.parameters()]
        outputs.append(output)
        gradients.append(torch.autograd.grad((output * weights).sum(), inputs))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-10)
    for a, b in zip(*gradients, strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_the_residual_block_may_see_the_difference_first_or_the_frames_first():
    torch.manual_seed(0)
    predictor = OffsetPredictor(6, 8, [1, 2, 3], 4).double()
    a, b = torch.randn(2, 1, 6, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(
        predictor.encode(a) - predictor.encode(b), predictor.encode(a - b), rtol=0, atol=1e-12
    )


def test_it_starts_without_offsets():
    module = branch(moved=False)
    maps = module.encode(case()[1])
    offsets = module.offset_predictor(maps["motion"][:1] - maps["motion"])
    assert offsets.shape == (3, 27, 2, 7, 9)
    assert (offsets == 0).all()


def test_masks_are_shared_out_among_instances_and_background():
    masks, features = case()
    with_background = run(branch(), masks, features).sum(1)
    attention = branch().encode(features)["attention"][:, 0]
    assert (with_background < attention).all()
    torch.testing.assert_close(run(branch(background=False), masks, features).sum(1), attention)


@pytest.mark.parametrize("impl", ["literal", "fused"])
@pytest.mark.parametrize("hidden", [0, 4])
def test_no_instance(impl, hidden):
    masks, features = case(num_masks=0)
    assert run(branch(impl, hidden), masks, features).shape == (3, 0, 7, 9)


def test_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="IMPL must be 'fused' or 'literal', not 'fast'"):
        branch("fast")


def test_it_is_built_from_the_config_as_in_the_paper():
    cfg = get_cfg()
    add_maskprop_config(cfg)
    module = PropagationBranch(cfg, ShapeSpec(channels=256, stride=8))
    assert module.deform_weight.shape == (3, 256, 256, 3, 3)
    assert module.offset_predictor.conv2.weight.shape == (128, 128, 3, 3)
    assert module.dilations == [3, 6, 12]


def test_loss_of_perfect_empty_and_missed_masks():
    loss = PropagationLoss(loss="soft_iou", space_time=False, weight=1.0)
    target = torch.zeros(2, 1, 4, 4)
    target[0, :, :2] = 1
    torch.testing.assert_close(loss(target, target), torch.tensor(0.0))
    # Frame 0 is missed; frame 1 is empty and 8 cells are predicted: 1 / (8 + 1).
    wrong = 1 - target
    wrong[1, :, 2:] = 0
    torch.testing.assert_close(loss(wrong, target), torch.tensor(1 - (0 + 1 / 9) / 2))


def test_an_empty_target_rewards_predicting_nothing():
    loss = PropagationLoss(loss="soft_iou", space_time=False, weight=1.0)
    masks = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    loss(masks, torch.zeros(1, 1, 4, 4)).backward()
    assert (masks.grad > 0).all()


def test_space_time_loss_sums_over_the_clip_first():
    target = torch.zeros(2, 1, 4, 4)
    target[0, :, :, :] = 1
    target[1, :, :1, :] = 1
    masks = target.clone()
    masks[1] = 0
    per_frame = PropagationLoss(loss="soft_iou", space_time=False, weight=1.0)
    space_time = PropagationLoss(loss="soft_iou", space_time=True, weight=2.0)
    torch.testing.assert_close(per_frame(masks, target), torch.tensor(0.5))
    torch.testing.assert_close(space_time(masks, target), torch.tensor(2 * (1 - 16 / 20)))


def test_cross_entropy_is_added():
    masks, target = torch.full((1, 1, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    loss = PropagationLoss(loss="soft_iou_ce", space_time=False, weight=1.0)
    torch.testing.assert_close(loss(masks, target), 0.5 + torch.log(torch.tensor(2.0)))
    with pytest.raises(ValueError, match="LOSS must be"):
        PropagationLoss(loss="dice", space_time=False, weight=1.0)
