"""The loss of the crop classifier."""

import torch
from detectron2.structures import Instances
from torch import Tensor
from torch.nn import functional as F

from ..networks.crop_classifier import CropClassifier
from .propagation_loss import mean_or_zero
from .regions import regions_around

REGIONS_PER_OBJECT = 3


def crop_classifier_loss(
    classifier: CropClassifier, images: Tensor, box_masks: list[Tensor], targets: list[Instances]
) -> Tensor:
    """Cross entropy over crops that lie on objects as detections do, mean over all of them.

    Args:
        classifier: what learns.
        images: (B or more, 3, h, w) the network's input, of which the first B are looked at.
        box_masks: B tensors (N, m, m), the masks of each frame's objects inside their boxes; they
            get no gradient.
        targets: these objects, with ``gt_boxes`` and ``gt_classes``.

    Returns:
        scalar
    """
    losses = []
    for image, masks, x in zip(images, box_masks, targets, strict=False):
        boxes = x.gt_boxes.tensor
        regions, owners = regions_around(boxes, REGIONS_PER_OBJECT)
        logits = classifier(image, masks[owners].detach(), boxes[owners], regions)
        losses.append(F.cross_entropy(logits.float(), x.gt_classes[owners], reduction="none"))
    return mean_or_zero(torch.cat(losses), classifier)
