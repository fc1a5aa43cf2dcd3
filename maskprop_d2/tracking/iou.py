"""Linking by mask IoU between neighbouring frames alone: the baseline for propagation."""

from torch import Tensor

from ..structures import Frame
from .base import FrameNetwork, OnlineTracker
from .matching import IdAssigner, mask_iou


class IoUTracker(OnlineTracker):
    """A detection gets the id of the detection in the previous frame whose mask overlaps most."""

    def __init__(self, network: FrameNetwork, *, threshold: float = 0.03):
        """``threshold``: mask IoU above which a detection gets the id of another."""
        super().__init__(network)
        self._assigner = IdAssigner(threshold)
        self._masks: Tensor | None = None
        self._ids: list[int] = []

    def link(self, frame: Frame) -> list[int]:
        masks = frame.output.grid_masks
        previous = masks[:0] if self._masks is None else self._masks
        self._ids = self._assigner.assign(mask_iou(masks, previous), self._ids)
        self._masks = masks
        return self._ids
