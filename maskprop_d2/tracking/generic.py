"""Linking of any detector's masks, by the generic propagation network."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.affinity import pooled_keys
from ..networks.generic_propagation import EncodedFrame, GenericPropagation
from ..networks.propagation_memory import PropagationMemory
from ..ops.soft_iou import pairwise_soft_iou
from ..structures import Frame, FrameOutput, TrackedFrame
from .base import FrameNetwork, Tracker
from .clip_tracker import category_similarity
from .matching import IdAssigner

MOMENTUM = 0.8
"""Share of a track's appearance that stays when a detection is added to it."""


class GenericNetwork(FrameNetwork, Protocol):
    """A frame network with the generic propagation network.

    ``FrameOutput.maps`` are the fields of ``EncodedFrame``, and the grid has stride 4.
    """

    generic: GenericPropagation


@dataclass
class Track:
    """What is known of an id besides its masks.

    Attributes:
        detections: how many it has.
        last_seen: index of the latest frame in which it was detected.
        area: cells of its latest detection.
        appearance: (E,) unit vector.
        class_scores: (K+1,) sum of the class scores of its detections.
    """

    detections: int
    last_seen: int
    area: float
    appearance: Tensor
    class_scores: Tensor

    def update(self, frame: int, area: float, appearance: Tensor, class_scores: Tensor) -> None:
        """Add a detection."""
        self.detections += 1
        self.last_seen, self.area = frame, area
        mixed = MOMENTUM * self.appearance + (1 - MOMENTUM) * appearance
        self.appearance = F.normalize(mixed, dim=0)
        self.class_scores = self.class_scores + class_scores


class GenericTracker(Tracker):
    """Propagates all tracks to each frame, and gives a detection the id of the one it overlaps.

    A track that was not detected goes on with its propagated mask, which also fills the gap in the
    output as long as it can be trusted.
    """

    def __init__(
        self,
        network: GenericNetwork,
        *,
        threshold: float = 0.1,
        categories: float = 0.2,
        appearance: float = 0.3,
        min_similarity: float = 0.9,
        memory: int = 60,
        fill: int = 30,
        min_detections: int = 3,
        min_confidence: float = 0.7,
        max_growth: float = 2.0,
    ):
        super().__init__(network)
        self._generic = network.generic
        self._memory = PropagationMemory(network.generic, keep_first=False)
        self._assigner = IdAssigner(threshold)
        self._tracks: dict[int, Track] = {}
        self._categories, self._appearance, self._min_similarity = (
            categories,
            appearance,
            min_similarity,
        )
        self._max_age, self._fill, self._min_detections = memory, fill, min_detections
        self._min_confidence, self._max_growth = min_confidence, max_growth

    def add(self, frame: Frame) -> list[TrackedFrame]:
        output = frame.output
        encoded = EncodedFrame(**output.maps)
        masks = output.grid_masks
        fine = masks.new_zeros(0, *(2 * x for x in masks.shape[1:]))
        if self._tracks:
            fine = self._memory.propagate(encoded, frame.index)
        propagated = F.avg_pool2d(fine[:, None], 2)[:, 0]
        appearance = pooled_keys(encoded.keys, masks)
        known = list(self._tracks)
        ids = self._assigner.assign(self._scores(output, propagated, appearance), known)
        self._update(frame.index, output, ids, appearance)
        filled = {
            y: fine[i]
            for i, y in enumerate(known)
            if y not in ids and self._is_trusted(self._tracks[y], frame.index, propagated[i])
        }
        if self._tracks:
            self._remember(frame.index, encoded, output, ids, propagated)
        return [TrackedFrame(frame.index, ids, filled=filled)]

    def _scores(self, output: FrameOutput, propagated: Tensor, appearance: Tensor) -> Tensor:
        """(N, Y) matching scores of the detections with the tracks."""
        tracks = list(self._tracks.values())
        if not tracks:
            return output.scores.new_zeros(len(output), 0)
        scores = pairwise_soft_iou(output.grid_masks.flatten(1), propagated.flatten(1))
        similarity = appearance @ torch.stack([x.appearance for x in tracks]).T
        similarity = (similarity - self._min_similarity) / (1 - self._min_similarity)
        scores = scores + self._appearance * similarity.clamp(min=0)
        same = category_similarity(
            output.class_scores, torch.stack([x.class_scores for x in tracks])
        )
        return scores * (1 - self._categories + self._categories * same)

    def _update(self, index: int, output: FrameOutput, ids: list[int], appearance: Tensor) -> None:
        areas = output.grid_masks.sum((1, 2)).tolist()
        for y, area, look, scores in zip(ids, areas, appearance, output.class_scores, strict=True):
            if y in self._tracks:
                self._tracks[y].update(index, area, look, scores)
            else:
                self._tracks[y] = Track(1, index, area, look, scores)

    def _is_trusted(self, track: Track, index: int, mask: Tensor) -> bool:
        inside = mask > 0.5
        area = float(inside.sum())
        return (
            track.detections >= self._min_detections
            and index - track.last_seen <= self._fill
            and track.area / self._max_growth <= area <= track.area * self._max_growth
            and float(mask[inside].mean()) >= self._min_confidence
        )

    def _remember(
        self,
        index: int,
        encoded: EncodedFrame,
        output: FrameOutput,
        ids: list[int],
        propagated: Tensor,
    ) -> None:
        masks = propagated * (1 - output.grid_masks.amax(0) if ids else 1)
        masks = torch.cat(
            [masks, masks.new_zeros(len(self._tracks) - len(masks), *masks.shape[1:])]
        )
        columns = {y: i for i, y in enumerate(self._tracks)}
        for y, mask in zip(ids, output.grid_masks, strict=True):
            masks[columns[y]] = mask
        self._memory.add(encoded, index, masks)
        kept = [y for y, x in self._tracks.items() if index - x.last_seen < self._max_age]
        if len(kept) < len(self._tracks):
            self._memory.keep([columns[y] for y in kept])
            self._tracks = {y: self._tracks[y] for y in kept}
