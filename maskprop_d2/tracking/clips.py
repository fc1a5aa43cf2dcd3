"""Tracking by masks that are propagated to the frames around: MaskProp, with any propagation."""

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from ..structures import ClipTracks, Frame, TrackedFrame
from .base import Linking
from .linking import ClipLinker

Propagate = Callable[[Frame, list[Frame]], Tensor]
"""From the grid masks of frame t to (S, N, h, w) soft masks in frames s. These are all other frames
of the clip around t, in order. Called for each t in order, where t has detections."""


class ClipTracker:
    """Builds the clip around each frame, and links the clips; T frames late."""

    def __init__(self, propagate: Propagate, linking: Linking):
        """
        Args:
            propagate: where the masks of a frame are in the frames around.
            linking: see ``ClipLinker``.
        """
        self.clip_radius = linking.clip_radius
        self._propagate = propagate
        self._linker = ClipLinker(linking)
        # The frames that the next clip covers, and its centre among them.
        self._window: deque[Frame] = deque()
        self._center = 0

    def add(self, frame: Frame) -> list[TrackedFrame]:
        """See ``Tracker.add``."""
        self._window.append(frame)
        return [self._link()] if len(self._window) - self._center > self.clip_radius else []

    def finish(self) -> list[TrackedFrame]:
        """See ``Tracker.finish``."""
        return [self._link() for _ in range(len(self._window) - self._center)]

    def _link(self) -> TrackedFrame:
        """Build the clip around the centre, give its tracks their ids, and go on to the next."""
        center = self._window[self._center]
        clip = ClipTracks(
            center=center.index,
            start=self._window[0].index,
            masks=self._clip_masks(center),
            class_scores=center.output.class_scores,
        )
        if self._center == self.clip_radius:
            self._window.popleft()
        else:
            self._center += 1
        return TrackedFrame(center.index, self._linker.link(clip), clip)

    def _clip_masks(self, center: Frame) -> Tensor:
        """(S, N, h, w): the detector's masks in the middle, propagated ones around it."""
        masks = center.output.grid_masks
        targets = [x for x in self._window if x is not center]
        if not targets or len(masks) == 0:
            return masks.expand(len(self._window), -1, -1, -1)
        propagated = self._propagate(center, targets)
        before = self._center
        return torch.cat([propagated[:before], masks[None], propagated[before:]])
