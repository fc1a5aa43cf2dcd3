"""The interface of a tracking method."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..structures import Frame, FrameOutput, TrackedFrame
from .mask_propagator import MaskPropagator


class FrameNetwork(Protocol):
    """All that video inference knows of a network: the meta-architecture is one."""

    def detect(self, frames: Tensor) -> list[FrameOutput]:
        """Detect in a batch of frames, (B, 3, H, W) uint8 RGB, as if they were a whole video."""

    def detect_stream(self, batches: Iterable[Tensor]) -> Iterator[FrameOutput]:
        """Detect in all frames of a video, in order; they may come in before the first comes out.

        Args:
            batches: the frames, (B, 3, H, W) uint8 RGB at a time. Memory does not grow with their
                number.
        """
        for frames in batches:
            yield from self.detect(frames)

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        """Propagate the masks of ``source`` to ``targets``: (S, N, h, w) soft masks."""

    def mask_propagator(self, method: str) -> MaskPropagator:
        """The trained network of a tracking method that has one of its own.

        Raises:
            MissingWeightsError: if it is not there.
        """


class Tracker(Protocol):
    """Gives the detections of one video their video-level ids.

    Frames go in one at a time, in order. They come out in order too, each as soon as the method
    knows its ids: at once (``OnlineTracker``), some frames later (``ClipTracker``), or all at the
    end (offline methods). What a method needs of a frame until then it keeps itself; it should be
    little where it is kept for the whole video.

    Attributes:
        clip_radius: how many frames on each side its clips cover; 0: it propagates no masks.
    """

    clip_radius: int

    def add(self, frame: Frame) -> list[TrackedFrame]:
        """Take the next frame, and give those whose ids are now known."""

    def finish(self) -> list[TrackedFrame]:
        """The video is over: give the frames that are left."""


class OnlineTracker(ABC):
    """A ``Tracker`` that knows the ids of a frame when it sees it."""

    clip_radius = 0

    @abstractmethod
    def link(self, frame: Frame) -> list[int]:
        """The ids, from 0, of the N detections of the next frame."""

    def add(self, frame: Frame) -> list[TrackedFrame]:
        """See ``Tracker.add``."""
        return [TrackedFrame(frame.index, self.link(frame))]

    def finish(self) -> list[TrackedFrame]:
        """See ``Tracker.finish``."""
        return []


@dataclass(frozen=True)
class Linking:
    """The options that methods share.

    Attributes:
        clip_radius: T, of the methods that propagate masks.
        threshold: matching score above which an id is taken over.
        exclusive: whether an id is given at most once in a frame.
        match, categories: see ``ClipLinker``.
    """

    clip_radius: int
    threshold: float
    exclusive: bool
    match: str
    categories: bool


TrackerFactory = Callable[[FrameNetwork], Tracker]
"""Makes a new tracker for a video, over the network that detects in it."""
