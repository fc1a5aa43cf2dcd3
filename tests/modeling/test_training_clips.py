"""Propagation in training clips of any length."""

import pytest
import torch
from detectron2.structures import Instances
from small_models import TINY, build, clip, compute_losses, rectangles
from torch.nn import functional as F

from maskprop_d2.modeling.training_clips import masks_in_frame, masks_on_grid
from maskprop_d2.networks.propagation import per_frame

MOVING = ((8, 8, 48, 40), (30, 20, 90, 60))


def frozen(*options):
    """A model that propagates ground-truth masks and has no batch statistics."""
    options = ["MODEL.MASKPROP.PROPAGATION.GT_MASK_ITERS", 10, *options]
    model = build(TINY, "SOLVER.FROZEN", ["detector"], *options)
    # Otherwise the branch only copies masks.
    for conv in model.propagation.offset_predictor.offsets:
        torch.nn.init.normal_(conv.weight, std=0.01)
    return model


def test_loss_of_a_pair_of_frames():
    """It is the loss of branch and loss function without the meta-architecture."""
    model = frozen()
    pair = clip(*MOVING, gone=[1])
    loss = compute_losses(model, [pair])["loss_propagation"]
    images = torch.stack([x["image"] for x in pair["clip"]]).float()
    images = (images - 110) / 60
    level, colors = model.backbone(images)["p2"], F.avg_pool2d(images, 4)
    source, partner = per_frame(model.propagation.encode(level, colors))
    truth = F.avg_pool2d(rectangles(*MOVING).tensor.float(), 4)
    propagated = model.propagation(truth, source, [source, partner])
    partner_truth = truth.clone()
    partner_truth[1] = 0
    expected = model.losses["propagation"].compare(propagated, torch.stack([truth, partner_truth]))
    torch.testing.assert_close(loss, expected)


def test_loss_of_a_clip_is_the_mean_over_its_frames():
    model = frozen()
    whole = clip(*MOVING, gone=[0], frames=4)["clip"]
    key = whole[0]

    def clip_loss(*frames):
        return compute_losses(model, [{"clip": list(frames)}])["loss_propagation"]

    key_loss = clip_loss(key, key)
    # The loss of a pair is the mean over both frames.
    partner_losses = [2 * clip_loss(key, x) - key_loss for x in whole[1:]]
    assert len({round(x.item(), 4) for x in partner_losses}) == 3
    loss = clip_loss(*whole)
    torch.testing.assert_close(loss, (key_loss + sum(partner_losses)) / 4)
    space_time = frozen("MODEL.MASKPROP.PROPAGATION.SPACE_TIME_LOSS", True)
    assert compute_losses(space_time, [{"clip": whole}])["loss_propagation"] != loss


def test_clip_is_propagated_in_one_pass_and_each_frame_encoded_once():
    model = frozen()
    passes, encoded = [], []
    forward, encode = model.propagation.forward, model.propagation.encode
    model.propagation.forward = lambda *args: (passes.append(len(args[2])), forward(*args))[1]
    model.propagation.encode = lambda *args: (encoded.append(len(args[0])), encode(*args))[1]
    compute_losses(model, [clip(*MOVING, frames=5), clip(*MOVING[:1], frames=5)])
    assert passes == [5, 5] and encoded == [10]


@pytest.mark.parametrize("train_on_partner", [False, True])
def test_detector_learns_from_all_partners_if_configured(train_on_partner):
    model = build(TINY, "MODEL.MASKPROP.TRAIN_ON_PARTNER", train_on_partner)
    seen = []
    model.proposal_generator.register_forward_hook(
        lambda _, args, __: seen.append([x.gt_ids.tolist() for x in args[2]])
    )
    compute_losses(model, [clip(*MOVING, gone=[0], frames=3), clip(*MOVING[:1], frames=3)])
    # All key frames come first, then all first partners.
    key_ids, partner_ids = [[7, 8], [7]], [[7, 8], [7], [8], [7]]
    assert seen == [key_ids + partner_ids if train_on_partner else key_ids]


def test_masks_in_other_frames_are_found_by_ids():
    objects, frame = Instances((20, 30)), Instances((20, 30))
    objects.gt_ids = torch.tensor([4, 2, 9])
    frame.gt_ids = torch.tensor([9, 5, 4])
    frame.gt_masks = rectangles((0, 0, 4, 4), (8, 8, 12, 12), (26, 16, 30, 20), size=(20, 30))
    # The image is padded to 32 x 24 pixels.
    found = masks_in_frame(objects, frame, (6, 8), 4)
    assert found.shape == (3, 6, 8) and found.sum((1, 2)).tolist() == [1, 0, 1]
    assert found[0, 4].tolist() == [0, 0, 0, 0, 0, 0, 0.5, 0.5] and found[2, 0, 0] == 1
    assert masks_in_frame(objects, frame[:0], (6, 8), 4).abs().sum() == 0
    assert masks_in_frame(objects[:0], frame, (6, 8), 4).shape == (0, 6, 8)
    assert masks_on_grid(frame.gt_masks[:0], (6, 8), 4).shape == (0, 6, 8)
