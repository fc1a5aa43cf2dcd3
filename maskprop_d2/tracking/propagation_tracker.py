"""Tracking by detection over masks that a network propagates from frame to frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.soft_iou import pairwise_soft_iou
from ..structures import Frame, FrameOutput
from .base import FrameNetwork, Maps, MaskPropagator, OnlineTracker
from .matching import IdAssigner

MAX_AGE = 20  # Frames without a detection after which a track ends.


@dataclass
class _Track:
    template: Tensor
    mask: Tensor  # (h, w), in the latest frame.
    class_scores: Tensor  # (K+1,) sum over its detections.
    last_seen: int  # Index of the latest frame in which it was detected.


class PropagationTracker(OnlineTracker):
    """A detection gets the id of the track whose propagated mask it overlaps most.

    Tracks of the detection's category come first. The masks of all tracks are propagated to each
    frame. A detected track continues with the mask of its detection, any other with its propagated
    mask, for up to ``MAX_AGE`` frames.

    Attributes:
        method: name of the network in ``MASK_PROPAGATORS``.
    """

    method: str

    def __init__(self, network: FrameNetwork, *, threshold: float = 0.03):
        """``threshold``: soft IoU above which a detection matches a track."""
        super().__init__(network)
        self._threshold = threshold
        self._assigner = IdAssigner(0.0)
        self._tracks: dict[int, _Track] = {}
        self._maps: Maps = {}

    def link(self, frame: Frame) -> list[int]:
        propagator = self.network.mask_propagator(self.method)
        ids = self._assigner.assign(self._propagate(propagator, frame.output), list(self._tracks))
        self._update(propagator, frame, ids)
        self._maps = frame.output.maps
        return ids

    def _propagate(self, propagator: MaskPropagator, output: FrameOutput) -> Tensor:
        """Propagate the masks of all tracks to a frame.

        Returns:
            (N, Y) soft IoU of each detection with each track, plus 1 if their categories are
            equal; 0 where they do not overlap enough.
        """
        tracks = self._tracks.values()
        if not tracks:
            return output.scores.new_zeros(len(output), 0)
        masks, templates = torch.stack([x.mask for x in tracks]), [x.template for x in tracks]
        masks = propagator.propagate(masks, self._maps, output.maps, templates)
        for track, mask in zip(tracks, masks, strict=True):
            track.mask = mask
        overlap = pairwise_soft_iou(output.grid_masks.flatten(1), masks.flatten(1))
        labels = torch.stack([x.class_scores for x in tracks])[:, :-1].argmax(1)
        same_label = output.labels[:, None] == labels
        return torch.where(overlap > self._threshold, overlap + same_label, 0.0)

    def _update(self, propagator: MaskPropagator, frame: Frame, ids: list[int]) -> None:
        """Update the detected tracks, start new ones, and end those not detected for long."""
        output = frame.output
        new = [i for i, track_id in enumerate(ids) if track_id not in self._tracks]
        templates = iter(propagator.templates(output.grid_masks[new], output.maps))
        for track_id, mask, scores in zip(ids, output.grid_masks, output.class_scores, strict=True):
            if track_id in self._tracks:
                track = self._tracks[track_id]
                template, scores = track.template, track.class_scores + scores
            else:
                template = next(templates)
            self._tracks[track_id] = _Track(template, mask, scores, frame.index)
        oldest = frame.index - MAX_AGE
        self._tracks = {y: x for y, x in self._tracks.items() if x.last_seen > oldest}
