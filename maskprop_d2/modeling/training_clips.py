"""Training clips as the losses see them, and the propagation of their masks (Sec. 4.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torch.nn import functional as F

from ..networks.base import FrameSettings
from ..networks.propagation import per_frame
from ..ops.masks import paste_masks
from .propagation_monitor import PropagationMonitor


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


class ClipPropagation:
    """Propagates the masks of each clip's key frame to all frames of the clip."""

    def __init__(self, settings: FrameSettings, gt_mask_iters: int, monitor: PropagationMonitor):
        """
        Args:
            settings: settings of the model.
            gt_mask_iters: iterations over which ground-truth masks, as the masks to propagate, are
                gradually replaced by predicted ones.
            monitor: receives the propagated masks.
        """
        self.feature = settings.propagation_feature
        self.stride = settings.propagation_stride
        self.gt_mask_iters = gt_mask_iters
        self.monitor = monitor

    def __call__(self, network: Any, batch: ClipBatch) -> list[tuple[Tensor, Tensor]]:
        """
        Args:
            network: a propagation branch or a mask propagator.
            batch: the clips.

        Returns:
            (S, N, h, w) propagated masks, and as many ground-truth masks, of each clip that has
            objects in its key frame.
        """
        level = batch.pyramid[self.feature]
        height, width = level.shape[-2:]
        grid = height, width
        maps = per_frame(network.encode(level))
        pairs = []
        for i, clip in enumerate(batch.clips):
            objects = batch.objects[i]
            if len(objects) == 0:
                continue
            masks = self._source_masks(batch.box_masks[i], objects, grid)
            frames = slice(i, None, len(batch.clips))
            propagated = network(masks, maps[i], maps[frames])
            targets = torch.stack(
                [masks_in_frame(objects, x, grid, self.stride) for x in batch.objects[frames]]
            )
            self.monitor.update(clip, masks, propagated, targets)
            pairs.append((propagated, targets))
        return pairs

    def _source_masks(self, box_masks: Tensor, objects: Instances, grid: tuple[int, int]) -> Tensor:
        """(N, h, w) masks to propagate: predicted ones or, early in training, ground truth."""
        if self.gt_mask_iters > 0:
            gt_probability = 1 - get_event_storage().iter / self.gt_mask_iters
            if torch.rand(()) < gt_probability:
                return masks_on_grid(objects.gt_masks, grid, self.stride)
        return paste_masks(box_masks.float(), objects.gt_boxes.tensor / self.stride, *grid)


def masks_on_grid(masks: BitMasks, grid: tuple[int, int], stride: int) -> Tensor:
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
    objects: Instances, frame: Instances, grid: tuple[int, int], stride: int
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
