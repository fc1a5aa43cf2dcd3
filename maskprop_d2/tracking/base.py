"""The interfaces of tracking methods, and of the network that they run on."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..ops.masks import soft_masks
from ..structures import Frame, FrameOutput, TrackedFrame


class FrameNetwork(Protocol):
    """The network as video inference and tracking methods see it."""

    def detect(self, frames: Tensor) -> list[FrameOutput]:
        """Detect in a batch of frames, (B, 3, H, W) uint8 RGB, taken as a whole video."""

    def detect_stream(self, batches: Iterable[Tensor]) -> Iterator[FrameOutput]:
        """Detect in all frames of a video, in order, with constant memory.

        Args:
            batches: the frames, (B, 3, H, W) uint8 RGB each. Several may be read before the first
                output.
        """
        for frames in batches:
            yield from self.detect(frames)

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        """Propagate the masks of ``source`` to ``targets``: (S, N, h, w) soft masks."""

    def mask_propagator(self, method: str) -> "MaskPropagator":
        """The trained network of a tracking method in ``MASK_PROPAGATORS``.

        Raises:
            MissingWeightsError: if the model does not have it.
        """


class Tracker(ABC):
    """Gives the detections of one video their video-level ids.

    A new tracker is made for each video. Frames go in one at a time, in order. They come out in
    the same order, each as soon as its ids are known: at once (``OnlineTracker``), T frames later
    (``ClipTracker``), or all at the end of the video (offline methods).

    The options of a method are the keyword-only arguments of its class, which raises an
    ``InputError`` for a wrong value.

    Attributes:
        clip_radius: T, the number of frames on each side that ``TrackedFrame.clip`` covers; 0 if
            the method gives no clips.
        parents: by the id of a track that started when another one divided, the id of that one.
    """

    clip_radius = 0

    def __init__(self, network: FrameNetwork):
        """``network``: detects in the video's frames."""
        self.network = network
        self.parents: dict[int, int] = {}

    @abstractmethod
    def add(self, frame: Frame) -> list[TrackedFrame]:
        """Take the next frame; return the frames whose ids are known now.

        Raises:
            MissingWeightsError: if the network lacks the weights that the method needs.
        """

    def finish(self) -> list[TrackedFrame]:
        """Return the remaining frames at the end of the video."""
        return []


class OnlineTracker(Tracker):
    """A ``Tracker`` that knows the ids of a frame at once."""

    @abstractmethod
    def link(self, frame: Frame) -> Sequence[int | None]:
        """The ids, from 0, of the N detections of the next frame; None for those to drop."""

    def add(self, frame: Frame) -> list[TrackedFrame]:
        return [TrackedFrame(frame.index, self.link(frame))]


Maps = dict[str, Tensor]
"""Maps of one frame by name, (channels, h, w) each."""


class MaskPropagator(ABC, nn.Module):
    """A tracking method's own network: it propagates object masks from frame to frame.

    Masks and maps are on the propagation grid, (h, w). The network keeps a template of each object
    from the first frame in which it is seen. In training it takes the place of the propagation
    branch: ``encode`` and ``forward`` have the same signatures.
    """

    @abstractmethod
    def encode(self, features: Tensor, colors: Tensor) -> dict[str, Tensor]:
        """The maps of B frames, which are stored in ``FrameOutput.maps``.

        Args:
            features: (B, C, h, w) features of the pyramid level.
            colors: (B, 3, h, w) mean colours of its cells.

        Returns:
            (B, channels, h, w) maps by name. The names differ from those of other networks.
        """

    @abstractmethod
    def templates(self, masks: Tensor, maps: Maps) -> list[Tensor]:
        """What to remember of objects from the first frame in which they are seen.

        Args:
            masks: (N, h, w) soft masks of the objects.
            maps: maps of the frame.

        Returns:
            one tensor per object, whose shape depends on the network.
        """

    @abstractmethod
    def logits(self, masks: Tensor, source: Maps, target: Maps, templates: list[Tensor]) -> Tensor:
        """(N, h, w) mask logits, given the arguments of ``propagate``; the background has 0."""

    def propagate(
        self, masks: Tensor, source: Maps, target: Maps, templates: list[Tensor]
    ) -> Tensor:
        """Propagate masks from one frame to another.

        Args:
            masks: (N, h, w) soft masks of the objects in the source frame.
            source, target: maps of the two frames.
            templates: templates of the N objects.

        Returns:
            (N, h, w) soft masks, a softmax over the objects and the background.
        """
        return soft_masks(self.logits(masks, source, target, templates))

    def forward(self, masks: Tensor, source: Maps, targets: list[Maps]) -> Tensor:
        """Propagate masks from the first frame of the objects to S others: (S, N, h, w)."""
        templates = self.templates(masks, source)
        return torch.stack([self.propagate(masks, source, x, templates) for x in targets])
