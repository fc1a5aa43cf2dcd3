import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskprop_d2.modeling.losses import PropagationLoss


def make_loss(kind="soft_iou", space_time=False):
    options = {"gt_mask_iters": 0, "settings": None, "monitor": None}
    loss = PropagationLoss("propagation", 1.0, kind=kind, space_time=space_time, **options)
    return loss.compare


def test_loss_of_perfect_empty_and_missed_masks():
    loss = make_loss()
    target = torch.zeros(2, 1, 4, 4)
    target[0, :, :2] = 1
    torch.testing.assert_close(loss(target, target), torch.tensor(0.0))
    # Frame 0 is missed; frame 1 is empty and 8 cells are predicted: 1 / (8 + 1).
    wrong = 1 - target
    wrong[1, :, 2:] = 0
    torch.testing.assert_close(loss(wrong, target), torch.tensor(1 - (0 + 1 / 9) / 2))


def test_empty_target_rewards_empty_mask():
    loss = make_loss()
    masks = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    loss(masks, torch.zeros(1, 1, 4, 4)).backward()
    assert (masks.grad > 0).all()


def test_space_time_loss_sums_over_the_clip_first():
    target = torch.zeros(2, 1, 4, 4)
    target[0, :, :, :] = 1
    target[1, :, :1, :] = 1
    masks = target.clone()
    masks[1] = 0
    per_frame = make_loss()
    space_time = make_loss(space_time=True)
    torch.testing.assert_close(per_frame(masks, target), torch.tensor(0.5))
    torch.testing.assert_close(space_time(masks, target), torch.tensor(1 - 16 / 20))


def test_cross_entropy_is_added():
    masks, target = torch.full((1, 1, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    loss = make_loss("soft_iou_ce")
    torch.testing.assert_close(loss(masks, target), 0.5 + torch.log(torch.tensor(2.0)))
    with pytest.raises(ValueError, match="LOSS must be"):
        make_loss("unknown")


def draw_clip(data, shape, elements=None):
    """(S, N, h, w) soft masks, or binary ones."""
    dtype = bool if elements is None else np.float64
    return torch.from_numpy(data.draw(arrays(dtype, shape, elements=elements))).double()


@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)),
    space_time=st.booleans(),
)
def test_properties_for_any_masks(data, shape, space_time):
    loss = make_loss(space_time=space_time)
    targets, shares = draw_clip(data, shape), st.floats(0, 1)
    masks, other = draw_clip(data, shape, shares), draw_clip(data, shape, shares)
    value = loss(masks, targets)
    assert -1e-12 <= value <= 1 + 1e-12
    assert loss(targets, targets) == 0
    # The order of frames and instances does not matter.
    torch.testing.assert_close(loss(masks.flip(0, 1), targets.flip(0, 1)), value)
    # Moving closer to the targets never increases the loss.
    nearer = torch.where(targets > 0, masks.maximum(other), masks.minimum(other))
    assert loss(nearer, targets) <= value + 1e-12
    # With one frame both variants are the same.
    other_way = make_loss(space_time=not space_time)
    torch.testing.assert_close(loss(masks[:1], targets[:1]), other_way(masks[:1], targets[:1]))


def test_gradient_of_cross_entropy_is_bounded_for_certain_wrong_masks():
    """Probabilities that round to 1 had gradients of 1e4 and more, made of rounding errors."""
    generator = torch.Generator().manual_seed(0)
    logits = 25 * torch.randn(1, 3, 8, 8, generator=generator)
    logits.requires_grad_()
    background = torch.zeros(1, 1, 8, 8)
    masks = torch.cat([logits, background], dim=1).softmax(1)[:, :3]
    targets = (torch.rand(1, 3, 8, 8, generator=generator) < 0.3).float()
    loss = make_loss("soft_iou_ce")
    loss(masks, targets).backward()
    assert logits.grad.abs().max() < 1
