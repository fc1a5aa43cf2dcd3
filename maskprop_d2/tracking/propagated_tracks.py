"""Tracking by detection over masks that a trained network carries from frame to frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.soft_iou import pairwise_soft_iou
from ..structures import Frame
from .assignment import IdAssigner
from .base import FrameNetwork, Linking, OnlineTracker, TrackerFactory
from .memory import MAX_AGE


@dataclass
class _Track:
    """An object as it is known.

    Attributes:
        appearance: see ``MaskPropagator.appearances``.
        mask: (h, w) its mask in the frame before.
        class_scores: (K+1,) sum over its detections.
        seen: index of the frame in which it was last detected.
    """

    appearance: Tensor
    mask: Tensor
    class_scores: Tensor
    seen: int


class PropagatedTracks(OnlineTracker):
    """A detection takes the id of the track whose carried mask it overlaps, of its category first.

    All tracks' masks go from frame to frame; where a track is detected, its mask is that of the
    detection, and else the carried one, for up to ``MAX_AGE`` frames.
    """

    def __init__(self, network: FrameNetwork, method: str, linking: Linking):
        """
        Args:
            network: one that has the method's ``MaskPropagator``.
            method: a name in ``TRACKERS``.
            linking: the threshold is that of the soft IoU.

        Raises:
            MissingWeightsError: if the network has none.
        """
        self._propagator = network.mask_propagator(method)
        self._threshold = linking.threshold
        self._assigner = IdAssigner(0.0, linking.exclusive)
        self._tracks: dict[int, _Track] = {}
        self._maps: dict[str, Tensor] = {}

    def link(self, frame: Frame) -> list[int]:
        """See ``OnlineTracker.link``."""
        maps = frame.output.maps
        self._carry(maps)
        ids = self._assigner.assign(self._scores(frame), list(self._tracks))
        self._update(frame, ids)
        self._maps = maps
        return ids

    def _carry(self, maps: dict[str, Tensor]) -> None:
        """Move all tracks' masks to the frame of ``maps``."""
        if not self._tracks:
            return
        tracks = self._tracks.values()
        masks = torch.stack([x.mask for x in tracks])
        appearances = [x.appearance for x in tracks]
        carried = self._propagator.carry(masks, self._maps, maps, appearances)
        for track, mask in zip(tracks, carried, strict=True):
            track.mask = mask

    def _scores(self, frame: Frame) -> Tensor:
        """(N, Y) soft IoU of each detection with each track, plus 1 if they are of one category;
        0 if they do not overlap enough."""
        found, tracks = frame.output, self._tracks.values()
        if not tracks:
            return found.scores.new_zeros(len(found), 0)
        masks = torch.stack([x.mask for x in tracks]).flatten(1)
        overlaps = pairwise_soft_iou(found.grid_masks.flatten(1), masks)
        known = torch.stack([x.class_scores for x in tracks])[:, :-1].argmax(1)
        same = found.class_scores[:, :-1].argmax(1)[:, None] == known
        return torch.where(overlaps > self._threshold, overlaps + same, 0.0)

    def _update(self, frame: Frame, ids: list[int]) -> None:
        """Renew the tracks that are detected, begin new ones, and forget those long not seen."""
        found = frame.output
        new = [i for i, track_id in enumerate(ids) if track_id not in self._tracks]
        appearances = self._propagator.appearances(found.grid_masks[new], found.maps)
        for i, appearance in zip(new, appearances, strict=True):
            nothing = torch.zeros_like(found.class_scores[i])
            self._tracks[ids[i]] = _Track(appearance, found.grid_masks[i], nothing, frame.index)
        # Of detections that share an id the surest comes last: its mask is the track's.
        for i in found.scores.argsort().tolist():
            track = self._tracks[ids[i]]
            track.mask, track.seen = found.grid_masks[i], frame.index
            track.class_scores = track.class_scores + found.class_scores[i]
        oldest = frame.index - MAX_AGE
        self._tracks = {y: x for y, x in self._tracks.items() if x.seen > oldest}


def track_by(method: str, linking: Linking) -> TrackerFactory:
    """See ``build_tracker``; for the methods that differ in nothing but their network."""
    return lambda network: PropagatedTracks(network, method, linking)
