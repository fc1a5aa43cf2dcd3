"""The loss of the refinement of masks."""

import torch
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.refinement import MaskRefinement
from .propagation_loss import mean_or_zero


class RefinementLoss(nn.Module):
    """Cross entropy of the refined masks of ground-truth instances, mean over all of them."""

    def __init__(self, weight: float):
        """``weight``: multiplier of the loss."""
        super().__init__()
        self.weight = weight

    def forward(
        self,
        refinement: MaskRefinement,
        images: Tensor,
        boxes: list[Tensor],
        box_masks: list[Tensor],
        targets: list[Instances],
    ) -> Tensor:
        """
        Args:
            refinement: what refines.
            images: (B or more, 3, h, w) the network's input, of which the first B are looked at.
            boxes: B tensors (N, 4), a box on each instance of each frame, near its own as a
                detected one is.
            box_masks: B tensors (N, m, m), the masks of the instances inside these boxes.
            targets: the instances, with ``gt_masks``.

        Returns:
            scalar
        """
        losses = []
        for image, of_image, masks, x in zip(images, boxes, box_masks, targets, strict=False):
            crops = refinement.crop_boxes(of_image)
            logits = refinement(image, masks, of_image, crops)
            truth = x.gt_masks.crop_and_resize(crops, refinement.crop_size).to(logits.dtype)
            loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
            losses.append(loss.flatten(1).mean(1))
        return mean_or_zero(torch.cat(losses), refinement) * self.weight
