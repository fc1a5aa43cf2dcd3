"""The loss of the propagation branch (Eq. 2 of the paper) and its options."""

from typing import Any

import torch
from detectron2.config import configurable
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..ops.soft_iou import soft_iou_terms

CERTAINTY = 1 - 1e-4
"""Cross entropy sees probabilities drawn so far towards 1/2: where they are 1 to float precision,
its gradient would be a huge number times what rounding leaves of the softmax's."""


class PropagationLoss(nn.Module):
    """1 - soft IoU of propagated and ground-truth masks, mean over instances and frames.

    The mean (the paper sums) keeps the loss in [0, 1], whatever the clip length and N. An
    instance that cannot be seen in a frame has an empty target: there, and only there, a constant
    of one cell is added to numerator and denominator, so that predicting nothing is rewarded.
    """

    @configurable
    def __init__(self, *, loss: str, space_time: bool, weight: float):
        """
        Args:
            loss: "soft_iou", or "soft_iou_ce" for soft IoU plus binary cross entropy.
            space_time: whether numerator and denominator are summed over the frames first.
            weight: multiplier of the loss.
        """
        super().__init__()
        if loss not in ("soft_iou", "soft_iou_ce"):
            raise InputError(f"PROPAGATION.LOSS must be 'soft_iou' or 'soft_iou_ce', not '{loss}'")
        self.cross_entropy = loss == "soft_iou_ce"
        self.space_time = space_time
        self.weight = weight

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from ``cfg.MODEL.MASKPROP.PROPAGATION``."""
        options = cfg.MODEL.MASKPROP.PROPAGATION
        return {
            "loss": options.LOSS,
            "space_time": options.SPACE_TIME_LOSS,
            "weight": options.LOSS_WEIGHT,
        }

    def forward(self, masks: Tensor, targets: Tensor) -> Tensor:
        """
        Args:
            masks: (S, N, h, w) propagated soft masks, N > 0.
            targets: (S, N, h, w) ground truth in [0, 1].

        Returns:
            scalar
        """
        intersection, union = soft_iou_terms(masks.flatten(2), targets.flatten(2))
        if self.space_time:
            intersection, union = intersection.sum(0), union.sum(0)
            empty = targets.flatten(2).sum((0, 2)) == 0
        else:
            empty = targets.flatten(2).sum(2) == 0
        soft_iou = (intersection + empty) / (union + empty).clamp(min=1e-6)
        loss = (1 - soft_iou).mean()
        if self.cross_entropy:
            # Under autocast binary_cross_entropy is refused; these masks are probabilities.
            with torch.autocast(masks.device.type, enabled=False):
                drawn_in = CERTAINTY * (masks.float() - 0.5) + 0.5
                loss = loss + F.binary_cross_entropy(drawn_in, targets.float())
        return loss * self.weight


def mean_or_zero(losses: Tensor, part: nn.Module) -> Tensor:
    """The mean of the losses of a part of the network; where there are none, zero, with a gradient
    for each of its parameters: where many processes train, each of them must give all."""
    if losses.numel() > 0:
        return losses.mean()
    return torch.stack([x.sum() for x in part.parameters()]).sum() * 0.0
