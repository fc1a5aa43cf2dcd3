"""The frames that the generic propagation network remembers of one video."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from ..ops.masks import soft_masks, without_specks
from .generic_propagation import EncodedFrame, GenericPropagation, MemoryFrame

SPACING = 2
"""Frames between those that are remembered for longer."""
MAX_FRAMES = 3
"""Frames remembered at a time: the latest, and earlier ones."""

MIN_PART = 0.05
"""Area of the smallest part of an object, as a share of its largest part."""


class PropagationMemory:
    """Propagates the masks of N objects from the frames of a video so far to the next.

    Remembered are the latest frame and some earlier ones, so that memory and time per frame are
    constant.
    """

    def __init__(self, network: GenericPropagation, *, keep_first: bool):
        """``keep_first``: always remember the first frame, whose masks are known to be right."""
        self.network = network
        self.keep_first = keep_first
        self.frames: list[MemoryFrame] = []

    def propagate(self, frame: EncodedFrame, index: int) -> Tensor:
        """(N, h, w) soft masks in the frame with this index."""
        shares = self.read(frame, index)
        return self.decode(shares, frame, range(len(shares)))

    def read(self, frame: EncodedFrame, index: int) -> Tensor:
        """(N, 16, h/4, w/4) shares of the objects in the cells of the frame with this index."""
        return self.network.read(self.frames, frame, index)

    def decode(self, shares: Tensor, frame: EncodedFrame, objects: Sequence[int]) -> Tensor:
        """(N', h, w) soft masks of N' of the objects, which compete with all others for cells.

        ``shares``: from ``read``.
        """
        soft = soft_masks(self.network.decode(shares, frame, objects))
        return without_specks(soft[list(objects)], MIN_PART)

    def add(self, frame: EncodedFrame, index: int, masks: Tensor) -> None:
        """Remember a frame.

        Args:
            frame: the next frame.
            index: its frame index.
            masks: (N', h, w) soft masks in it: of the N objects and, after them, of new ones.
        """
        for known in self.frames:
            if missing := len(masks) - len(known.masks):
                known.masks = F.pad(known.masks, (0, 0, 0, 0, 0, missing))
        self.frames.append(MemoryFrame(index, frame.keys, masks))
        if len(self.frames) > 2 and self.frames[-2].index - self.frames[-3].index < SPACING:
            del self.frames[-2]
        if len(self.frames) > MAX_FRAMES:
            del self.frames[1 if self.keep_first else 0]

    def keep(self, objects: list[int]) -> None:
        """Forget all objects but these, which become objects 0, 1, ..."""
        for frame in self.frames:
            frame.masks = frame.masks[objects]
