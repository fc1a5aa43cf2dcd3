"""Regions around ground-truth objects, for parts that learn on what a detector might find."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

POSITIVE_IOU = 0.5
"""Overlap with its object's box above which a region is one of the object's."""


def regions_around(boxes: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Regions that lie on objects as proposals do: moved and scaled, the ground truth among them.

    Args:
        boxes: (N, 4) boxes of objects.
        number: regions of each object, fewer where some do not overlap it enough.

    Returns:
        (R, 4) regions, which overlap their objects' boxes by more than ``POSITIVE_IOU``; and (R,)
        indices of the objects.
    """
    owners = torch.arange(len(boxes), device=boxes.device).repeat(number)
    own = boxes[owners]
    sizes = own[:, 2:] - own[:, :2]
    centers = (own[:, 2:] + own[:, :2]) / 2 + sizes * (torch.rand_like(sizes) - 0.5) * 0.5
    halves = sizes * torch.exp((torch.rand_like(sizes) - 0.5) * 0.6) / 2
    regions = torch.cat([centers - halves, centers + halves], dim=1)
    regions[: len(boxes)] = boxes
    positive = box_iou(regions, boxes).gather(1, owners[:, None])[:, 0] > POSITIVE_IOU
    return regions[positive], owners[positive]
