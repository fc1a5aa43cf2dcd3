"""The window of frames that support each other (``networks/stsn.py``)."""

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..networks.stsn import SpatiotemporalSampling, join_frames, split_frames

Batch = tuple[Tensor, dict[str, Tensor]]
"""B frames of a video, (B, 3, H, W), and their pyramid."""


class SupportWindow:
    """Supports the frames of one video by K frames on each side, fewer where it begins or ends.

    A frame comes out when the K frames after it have come in. No more is held than the frames that
    wait for that, and the plain levels that support those: 2K frames and a few batches.
    """

    def __init__(self, block: SpatiotemporalSampling):
        """
        Args:
            block: what supports, with K.
        """
        self._block = block
        self._waiting: deque[Batch] = deque()
        # Levels of single frames, the first ``_done`` of which have come out.
        self._plain: list[dict[str, Tensor]] = []
        self._done = 0

    def stream(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """
        Args:
            batches: all frames of the video, in order, with their plain pyramids.

        Yields:
            the same frames, in batches that are no larger, with supported pyramids.
        """
        size = 1
        for frames, pyramid in batches:
            size = max(size, len(frames))
            self._add(frames, pyramid)
            if (ready := len(self._waiting) - self._block.radius) > 0:
                yield self._take(ready)
        while self._waiting:
            yield self._take(min(size, len(self._waiting)))

    def _add(self, frames: Tensor, pyramid: dict[str, Tensor]) -> None:
        for frame, levels in zip(frames.split(1), split_frames(pyramid), strict=True):
            self._waiting.append((frame, levels))
            self._plain.append({name: levels[name] for name in self._block.levels})

    def _take(self, number: int) -> Batch:
        """So many of the waiting frames, supported."""
        frames, pyramids = zip(*(self._waiting.popleft() for _ in range(number)), strict=True)
        supported = [self._support_next(pyramid) for pyramid in pyramids]
        return torch.cat(frames), join_frames(supported)

    def _support_next(self, pyramid: dict[str, Tensor]) -> dict[str, Tensor]:
        radius = self._block.radius
        before = self._plain[max(self._done - radius, 0) : self._done]
        after = self._plain[self._done + 1 : self._done + 1 + radius]
        self._done += 1
        if self._done > radius:
            del self._plain[0]
            self._done -= 1
        return self._block(pyramid, before + after)
