"""How a training clip teaches masks to be propagated (Sec. 4.2 of the paper)."""

from typing import Any

import torch
from detectron2.config import configurable
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor

from ..networks.propagation import PropagationBranch, per_frame
from ..ops.masks import paste_masks
from ..tracking import MaskPropagator
from .propagation_loss import PropagationLoss, mean_or_zero
from .propagation_monitor import PropagationWatch
from .propagation_targets import masks_of, on_grid


class PropagationTraining:
    """Propagates the masks of each clip's key frame, and says how wrong they come out.

    Attributes:
        loss: of the masks of one clip; with a weight of 0 nothing learns.
        watch: what training shows of propagation.
    """

    @configurable
    def __init__(
        self, *, loss: PropagationLoss, watch: PropagationWatch, gt_mask_iters: int, stride: int
    ):
        """
        Args:
            loss, watch: see the class.
            gt_mask_iters: iterations over which ground-truth masks, as the masks to propagate,
                give way to predicted ones.
            stride: pixels in each direction that a cell of the grid of propagation covers.
        """
        self.loss = loss
        self.watch = watch
        self.gt_mask_iters = gt_mask_iters
        self.stride = stride

    @classmethod
    def from_config(cls, cfg: Any, stride: int) -> dict[str, Any]:
        """Arguments from the config."""
        return {
            "loss": PropagationLoss(cfg),
            "watch": PropagationWatch(cfg.VIS_PERIOD, cfg.INPUT.FORMAT, stride),
            "gt_mask_iters": cfg.MODEL.MASKPROP.PROPAGATION.GT_MASK_ITERS,
            "stride": stride,
        }

    def __call__(
        self,
        learner: PropagationBranch | MaskPropagator,
        level: Tensor,
        box_masks: list[Tensor],
        objects: list[Instances],
        clips: list[list[dict[str, Any]]],
    ) -> Tensor:
        """Loss of propagating each key frame to itself and to its partners, mean over the clips.

        Args:
            learner: what learns to propagate.
            level: (L, C, h, w) the pyramid level of propagation: of the key frames of all B clips,
                then of all first partners, and so on.
            box_masks: B tensors (N, m, m), the mask head's masks of the key frames' objects inside
                their boxes; they get no gradient.
            objects: the ground truth of all frames, in the order of ``level``.
            clips: the B clips, each the frames of an output of ``ClipMapper``.

        Returns:
            scalar
        """
        height, width = level.shape[-2:]
        grid = height, width
        maps = per_frame(learner.encode(level))
        losses = []
        for i, clip in enumerate(clips):
            if len(objects[i]) == 0:
                continue
            masks = self._masks_to_propagate(box_masks[i], objects[i], grid)
            propagated = learner(masks, maps[i], maps[i :: len(clips)])
            of_frames = objects[i :: len(clips)]
            truth = torch.stack([masks_of(objects[i], x, grid, self.stride) for x in of_frames])
            losses.append(self.loss(propagated, truth))
            self.watch.see(clip, masks, propagated, truth)
        return mean_or_zero(torch.stack(losses) if losses else torch.empty(0), learner)

    def _masks_to_propagate(
        self, box_masks: Tensor, objects: Instances, grid: tuple[int, int]
    ) -> Tensor:
        """The mask head's own masks of a frame's ground-truth objects, or early in training their
        ground-truth masks: (N, h, w), without gradient."""
        if self.gt_mask_iters > 0:
            share_of_gt = 1 - get_event_storage().iter / self.gt_mask_iters
            if torch.rand(()) < share_of_gt:
                return on_grid(objects.gt_masks, grid, self.stride)
        grid_boxes = objects.gt_boxes.tensor / self.stride
        return paste_masks(box_masks.detach().float(), grid_boxes, *grid)
