"""The interface of a tracking method."""

from typing import Protocol

from ..structures import ClipTracks


class Tracker(Protocol):
    """Gives the detections of one video, frame by frame, their video-level ids.

    Attributes:
        clip_radius: how many frames on each side the method wants its clips to cover.
    """

    clip_radius: int

    def step(self, clip: ClipTracks) -> list[int]:
        """The ids, from 0, of the N detections of frame ``clip.center``.

        Called once for each frame, in order.
        """
