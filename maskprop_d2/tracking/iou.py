"""Linking by mask IoU of neighbouring frames alone: the yardstick for propagation."""

from torch import Tensor

from ..ops.soft_iou import pairwise_soft_iou
from ..structures import Frame
from .assignment import IdAssigner
from .base import Linking, OnlineTracker, TrackerFactory


def build(linking: Linking) -> TrackerFactory:
    """See ``build_tracker``."""
    return lambda network: IoUTracker(linking)


class IoUTracker(OnlineTracker):
    """A detection takes the id of the detection of the frame before whose mask overlaps most."""

    def __init__(self, linking: Linking):
        """See ``IdAssigner``; the scores are IoUs of binary masks."""
        self._assigner = IdAssigner(linking.threshold, linking.exclusive)
        self._previous: tuple[Tensor, list[int]] | None = None

    def link(self, frame: Frame) -> list[int]:
        """See ``OnlineTracker.link``."""
        masks = (frame.output.grid_masks > 0.5).flatten(1).float()
        previous_masks, previous_ids = self._previous or (masks[:0], [])
        ids = self._assigner.assign(pairwise_soft_iou(masks, previous_masks), previous_ids)
        self._previous = masks, ids
        return ids
