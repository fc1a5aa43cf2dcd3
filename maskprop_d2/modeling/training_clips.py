"""Training clips as the losses see them: ground truth on the propagation grid, and regions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

POSITIVE_IOU = 0.5
"""A region shows an object if its IoU with the object's box is above this."""


@dataclass
class ClipBatch:
    """B clips of S frames each, and what the detector computes from them.

    Frames are ordered by their place in the clip: the key frames of all clips, then all first
    partners, and so on.

    Attributes:
        clips: the frames of each clip, as ``ClipMapper`` returns them.
        images: (S * B, 3, H', W') input of the network.
        pyramid: levels by name, (S * B, C, h, w) each.
        objects: ground truth of each of the S * B frames.
        mask_head: ``predict_masks`` of the ROI heads for the key frames.
    """

    clips: list[list[dict[str, Any]]]
    images: Tensor
    pyramid: dict[str, Tensor]
    objects: list[Instances]
    mask_head: Callable[[list[Boxes], list[Tensor]], list[Tensor]]

    @property
    def key_objects(self) -> list[Instances]:
        """Ground truth of the B key frames."""
        return self.objects[: len(self.clips)]

    def predict_masks(self, boxes: list[Boxes]) -> list[Tensor]:
        """Masks that the mask head predicts for the objects of the key frames.

        Args:
            boxes: a box for each object of each key frame.

        Returns:
            B tensors (N, m, m), soft masks inside the boxes.
        """
        return self.mask_head(boxes, [x.gt_classes for x in self.key_objects])

    @cached_property
    def box_masks(self) -> list[Tensor]:
        """The predicted masks inside the ground-truth boxes, without a gradient."""
        with torch.no_grad():
            return self.predict_masks([x.gt_boxes for x in self.key_objects])


def masks_on_grid(masks: BitMasks, grid: Sequence[int], stride: int) -> Tensor:
    """Compute the share of each grid cell that a mask covers.

    Args:
        masks: N masks of an image without padding.
        grid: h, w of the grid over the padded image.
        stride: side of a cell in pixels.

    Returns:
        (N, h, w) in [0, 1].
    """
    height, width = masks.tensor.shape[-2:]
    padding = (0, grid[1] * stride - width, 0, grid[0] * stride - height)
    return F.avg_pool2d(F.pad(masks.tensor[:, None].float(), padding), stride)[:, 0]


def masks_in_frame(
    objects: Instances, frame: Instances, grid: Sequence[int], stride: int
) -> Tensor:
    """Find the masks of objects in another frame of their clip, by ``gt_ids``.

    Args:
        objects: N objects with ``gt_ids``.
        frame: all objects of the other frame, with ``gt_ids`` and ``gt_masks``.
        grid, stride: arguments of :func:`masks_on_grid`.

    Returns:
        (N, h, w) in [0, 1]; zero for objects that are not in the frame.
    """
    masks = masks_on_grid(frame.gt_masks, grid, stride)
    found = masks.new_zeros(len(objects), *grid)
    rows, columns = (objects.gt_ids[:, None] == frame.gt_ids).nonzero(as_tuple=True)
    found[rows] = masks[columns]
    return found


def sample_regions(boxes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Sample regions around objects that are shifted and scaled as proposals are.

    Args:
        boxes: (N, 4) boxes of objects.
        count: regions for each object; those that do not overlap their object enough are dropped.

    Returns:
        (R, 4) regions, the boxes themselves among them, and (R,) indices of their objects.
    """
    owners = torch.arange(len(boxes), device=boxes.device).repeat(count)
    regions = jitter_boxes(boxes[owners], 1.0)
    regions[: len(boxes)] = boxes
    positive = box_iou(regions, boxes).gather(1, owners[:, None])[:, 0] > POSITIVE_IOU
    return regions[positive], owners[positive]


def jitter_boxes(boxes: Tensor, extent: float) -> Tensor:
    """Shift and scale (N, 4) boxes at random.

    Args:
        boxes: (N, 4).
        extent: with 1, boxes are shifted by up to a quarter of their sides and scaled by exp(-0.3)
            to exp(0.3), as proposals are. With 0.5 their IoU with the originals is 0.59 to 1, as
            that of detections.

    Returns:
        (N, 4)
    """
    sizes = boxes[:, 2:] - boxes[:, :2]
    shifts = sizes * (torch.rand_like(sizes) - 0.5) * 0.5 * extent
    centers = (boxes[:, 2:] + boxes[:, :2]) / 2 + shifts
    halves = sizes * torch.exp((torch.rand_like(sizes) - 0.5) * 0.6 * extent) / 2
    return torch.cat([centers - halves, centers + halves], dim=1)
