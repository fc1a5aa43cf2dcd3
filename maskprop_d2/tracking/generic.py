"""
Linking of any detector's masks, by the generic propagation network.

Unlike MaskProp's linking of clips (``clip_tracker.py``), it needs no detector of its own and no
later frames: all tracks are propagated from frame to frame, and so also through frames in which the
detector misses them.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..networks.affinity import pooled_keys
from ..networks.generic_propagation import CELL, EncodedFrame, GenericPropagation
from ..networks.propagation_memory import PropagationMemory
from ..ops.soft_iou import pairwise_soft_iou
from ..structures import Frame, FrameOutput, TrackedFrame
from .base import FrameNetwork, Tracker
from .matching import IdAssigner
from .track_memory import RememberedTrack, appearance_similarity, category_factor

MIN_SIMILARITY = 0.9
"""Cosine similarity of appearances above which two may be one object's."""

# When a propagated mask is good enough to be shown.
MIN_DETECTIONS = 2
"""A track with fewer detections may be a mistake of the detector."""
MIN_CONFIDENCE = 0.6
"""Mean of a soft mask over the cells above 0.5."""
MAX_GROWTH = 4.0
"""Factor by which its area may differ from the latest detection's."""
BORDER_FILL = 3
"""Frames without a detection, if the latest one touched the border: the object may have left."""
BORDER = 0.01
"""Width of the border, as a share of the frame's."""


class GenericNetwork(FrameNetwork, Protocol):
    """A frame network with the generic propagation network.

    Its ``FrameOutput.maps`` are the fields of ``EncodedFrame``, and the grid has stride 2.
    """

    generic: GenericPropagation


@dataclass
class Track(RememberedTrack):
    """What is known of an id besides its masks.

    Attributes:
        area: cells of its latest detection.
        at_border: whether that touches the border of the frame.
        num_detections: number of its detections.
    """

    area: float = 0.0
    at_border: bool = False
    num_detections: int = 0


class GenericTracker(Tracker):
    """Propagates all tracks to each frame, and gives a detection the id of the one it matches.

    The score of a detection with a track is::

        (soft IoU with the propagated mask + appearance * similarity of looks)
            * (1 - categories + categories * similarity of class scores)

    Here the propagated mask is the coarse one that was read from the memory. Only for tracks
    without a detection it is decoded, which takes longer: the decoded mask is propagated to the
    next frames, and fills the gap in the output while it can be trusted. Output is not delayed, and
    memory is constant.
    """

    def __init__(
        self,
        network: GenericNetwork,
        *,
        threshold: float = 0.1,
        categories: float = 0.2,
        appearance: float = 0.3,
        memory: int = 60,
        fill: int = 30,
    ):
        """
        Args:
            network: gives detections and encodes frames.
            threshold: score above which a detection matches a track.
            categories: weight of the categories, from 0 (ignored) to 1.
            appearance: weight of the looks: the mean key under the mask.
            memory: number of frames without a detection after which a track ends.
            fill: number of such frames in which its propagated mask is shown; at most
                ``BORDER_FILL`` if the object may have left the frame.

        Raises:
            InputError: for a value out of range.
        """
        super().__init__(network)
        if not 0 <= categories <= 1:
            raise InputError(f"categories must be in 0..1, not {categories}")
        if min(threshold, appearance, memory, fill) < 0:
            raise InputError(
                "threshold, appearance, memory and fill must not be negative: "
                f"{threshold}, {appearance}, {memory}, {fill}"
            )
        self._frames = PropagationMemory(network.generic, keep_first=False)
        self._assigner = IdAssigner(threshold)
        self._tracks: dict[int, Track] = {}
        self._categories, self._appearance = categories, appearance
        self._memory, self._fill = memory, fill

    def add(self, frame: Frame) -> list[TrackedFrame]:
        output, known_ids = frame.output, list(self._tracks)
        encoded = EncodedFrame(**output.maps)
        shares = self._read(encoded, frame)
        looks = pooled_keys(encoded.keys, output.grid_masks)
        ids = self._assigner.assign(self._scores(output, shares, looks), known_ids)
        missed = self._decode(shares, encoded, set(known_ids) - set(ids))
        filled = {y: x for y, x in missed.items() if self._can_fill(y, frame.index, x)}
        self._update_tracks(frame, ids, looks)
        self._remember(frame.index, encoded, output, ids, missed)
        return [TrackedFrame(frame.index, ids, filled=filled)]

    def _read(self, encoded: EncodedFrame, frame: Frame) -> Tensor:
        """(Y, 16, h/4, w/4) shares of the Y tracks in the cells of the frame."""
        if self._tracks:
            return self._frames.read(encoded, frame.index)
        return encoded.keys.new_zeros(0, CELL * CELL, *encoded.keys.shape[1:])

    def _decode(self, shares: Tensor, encoded: EncodedFrame, ids: set[int]) -> dict[int, Tensor]:
        """(h, w) soft masks of these tracks, which were not detected."""
        if not ids:
            return {}
        position = {y: i for i, y in enumerate(self._tracks) if y in ids}
        masks = self._frames.decode(shares, encoded, list(position.values()))
        return dict(zip(position, masks, strict=True))

    def _scores(self, output: FrameOutput, shares: Tensor, looks: Tensor) -> Tensor:
        """(N, Y) scores of the detections with the tracks."""
        tracks = list(self._tracks.values())
        if not tracks:
            return output.scores.new_zeros(len(output), 0)
        propagated = F.pixel_shuffle(shares, CELL)
        scores = pairwise_soft_iou(output.grid_masks.flatten(1), propagated.flatten(1))
        known = torch.stack([x.appearance for x in tracks])
        similarity = appearance_similarity(looks, known, MIN_SIMILARITY)
        class_scores = torch.stack([x.class_scores for x in tracks])
        factor = category_factor(output.class_scores, class_scores, self._categories)
        return (scores + self._appearance * similarity) * factor

    def _can_fill(self, track_id: int, index: int, mask: Tensor) -> bool:
        """Whether a propagated mask can be shown in place of a detection."""
        track = self._tracks[track_id]
        inside = mask > 0.5
        area = float(inside.sum())
        longest = min(self._fill, BORDER_FILL) if track.at_border else self._fill
        return (
            track.num_detections >= MIN_DETECTIONS
            and index - track.last_seen <= longest
            and track.area / MAX_GROWTH <= area <= track.area * MAX_GROWTH
            and float(mask[inside].mean()) >= MIN_CONFIDENCE
        )

    def _update_tracks(self, frame: Frame, ids: list[int], looks: Tensor) -> None:
        """Add the detections of a frame to their tracks."""
        output = frame.output
        areas = output.grid_masks.sum((1, 2)).tolist()
        at_border = _touch_border(output.boxes_video, frame.image.shape[:2])
        for i, y in enumerate(ids):
            if y in self._tracks:
                self._tracks[y].update(frame.index, looks[i], output.class_scores[i])
            else:
                self._tracks[y] = Track(frame.index, looks[i], output.class_scores[i])
            self._tracks[y].area = areas[i]
            self._tracks[y].at_border = at_border[i]
            self._tracks[y].num_detections += 1

    def _remember(
        self,
        index: int,
        encoded: EncodedFrame,
        output: FrameOutput,
        ids: list[int],
        missed: dict[int, Tensor],
    ) -> None:
        """Remember the masks of all tracks in a frame, and end those not detected for long."""
        if not self._tracks:
            return
        masks = dict(zip(ids, output.grid_masks, strict=True))
        # Where something was detected, no other object is.
        free = 1 - output.grid_masks.amax(0) if ids else 1.0
        masks |= {y: mask * free for y, mask in missed.items()}
        self._frames.add(encoded, index, torch.stack([masks[y] for y in self._tracks]))
        kept = [y for y, x in self._tracks.items() if index - x.last_seen < self._memory]
        if len(kept) < len(self._tracks):
            position = {y: i for i, y in enumerate(self._tracks)}
            self._frames.keep([position[y] for y in kept])
            self._tracks = {y: self._tracks[y] for y in kept}


def _touch_border(boxes: Tensor, image_size: tuple[int, int]) -> list[bool]:
    """Which of the (N, 4) boxes touch the border of an (H, W) frame."""
    height, width = image_size
    size = boxes.new_tensor([width, height])
    near = (boxes[:, :2] < BORDER * size) | (boxes[:, 2:] > (1 - BORDER) * size)
    return near.any(1).tolist()
