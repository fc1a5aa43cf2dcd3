"""Linking by mask IoU of neighbouring frames alone: the yardstick for propagation."""

from torch import Tensor

from ..ops.soft_iou import pairwise_soft_iou
from ..structures import ClipTracks
from .assignment import IdAssigner


class IoUTracker:
    """A detection takes the id of the detection of the frame before whose mask overlaps most."""

    clip_radius = 0

    def __init__(self, *, threshold: float, exclusive: bool):
        """See ``IdAssigner``; the scores are IoUs of binary masks."""
        self._assigner = IdAssigner(threshold, exclusive)
        self._previous: tuple[Tensor, list[int]] | None = None

    def step(self, clip: ClipTracks) -> list[int]:
        """See ``Tracker.step``."""
        masks = (clip.masks[clip.center - clip.start] > 0.5).flatten(1).float()
        previous_masks, previous_ids = self._previous or (masks[:0], [])
        ids = self._assigner.assign(pairwise_soft_iou(masks, previous_masks), previous_ids)
        self._previous = masks, ids
        return ids
