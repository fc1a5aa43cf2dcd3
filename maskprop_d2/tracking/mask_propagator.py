"""What the methods share that carry masks by a small trained network, from frame to frame."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class MaskPropagator(ABC, nn.Module):
    """Carries the masks of known objects to the next frame, over the propagation grid.

    It remembers of each object what it looked like when it was first seen. A network that has one
    keeps its maps of each frame in ``FrameOutput.maps``. In training it stands in the place of the
    propagation branch: ``encode`` and ``forward`` take and give the same.
    """

    @abstractmethod
    def encode(self, features: Tensor, colors: Tensor) -> dict[str, Tensor]:
        """All that it needs of a frame.

        Args:
            features: (B, C, h, w) the pyramid level of B frames.
            colors: (B, 3, h, w) mean colours of its cells.

        Returns:
            maps by name, each (B, channels, h, w); no other network's maps have these names.
        """

    @abstractmethod
    def appearances(self, masks: Tensor, maps: dict[str, Tensor]) -> list[Tensor]:
        """What to remember of N objects, from the frame in which they are first seen.

        Args:
            masks: (N, h, w) their soft masks.
            maps: the frame's maps, each (channels, h, w).

        Returns:
            a tensor for each object, of a shape that is the method's own.
        """

    @abstractmethod
    def logits(
        self,
        masks: Tensor,
        source: dict[str, Tensor],
        target: dict[str, Tensor],
        appearances: list[Tensor],
    ) -> Tensor:
        """See ``carry``: (N, h, w) how much each cell is each object's; the background has 0."""

    def carry(
        self,
        masks: Tensor,
        source: dict[str, Tensor],
        target: dict[str, Tensor],
        appearances: list[Tensor],
    ) -> Tensor:
        """Where the objects of one frame are in another.

        Args:
            masks: (N, h, w) their soft masks in the one.
            source: its maps, each (channels, h, w).
            target: those of the other.
            appearances: of each object, see there.

        Returns:
            (N, h, w) soft masks; those of a cell add up to less than 1.
        """
        logits = self.logits(masks, source, target, appearances)
        background = logits.new_zeros(1, *logits.shape[1:])
        return torch.cat([logits, background]).softmax(0)[: len(masks)]

    def forward(
        self, masks: Tensor, source: dict[str, Tensor], targets: list[dict[str, Tensor]]
    ) -> Tensor:
        """Carry the objects of a frame in which they are first seen to S others: (S, N, h, w)."""
        appearances = self.appearances(masks, source)
        return torch.stack([self.carry(masks, source, x, appearances) for x in targets])
