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
    regions = moved(boxes[owners], 1.0)
    regions[: len(boxes)] = boxes
    positive = box_iou(regions, boxes).gather(1, owners[:, None])[:, 0] > POSITIVE_IOU
    return regions[positive], owners[positive]


def moved(boxes: Tensor, extent: float) -> Tensor:
    """Boxes moved and scaled at random.

    Args:
        boxes: (N, 4).
        extent: how far: with 1, by up to a quarter of a box's sides and to exp(-0.3) to exp(0.3)
            times its size, as proposals are; half as much leaves an IoU of 0.59 to 1, as
            detections have.

    Returns:
        (N, 4)
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    shifts = sizes * (torch.rand_like(sizes) - 0.5) * 0.5 * extent
    centers = (boxes[:, 2:] + boxes[:, :2]) / 2 + shifts
    halves = sizes * torch.exp((torch.rand_like(sizes) - 0.5) * 0.6 * extent) / 2
    return torch.cat([centers - halves, centers + halves], dim=1)
