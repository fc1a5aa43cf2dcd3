"""The part of a video to read."""

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Excerpt:
    """A part of a video; by default all of it.

    Attributes:
        start: seconds from the beginning of the video, at least 0.
        duration: seconds, more than 0; None for the rest of the video.
        stride: take every ``stride``-th frame, at least 1.

    Raises:
        ValueError: if a value is out of range.
    """

    start: float = 0.0
    duration: float | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.start < math.inf:
            raise ValueError(f"the start must be 0 seconds or more, not {self.start}")
        if self.duration is not None and not 0 < self.duration < math.inf:
            raise ValueError(f"the duration must be more than 0 seconds, not {self.duration}")
        if self.stride < 1:
            raise ValueError(f"the stride must be 1 frame or more, not {self.stride}")

    @property
    def end(self) -> float:
        """Seconds from the beginning of the video; infinity if there is no duration."""
        return math.inf if self.duration is None else self.start + self.duration

    def frames(self, fps: Fraction | float) -> slice:
        """The frame indices of the excerpt at a constant frame rate.

        As timestamps are rounded, it begins half a frame before ``start`` and ends half a frame
        before ``end``.
        """
        first, last = (
            None if math.isinf(seconds) else math.ceil(seconds * float(fps) - 0.5)
            for seconds in (self.start, self.end)
        )
        return slice(first, last, self.stride)
