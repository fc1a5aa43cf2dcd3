"""Reading from a camera."""

import time
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np

from ..errors import VideoError
from .excerpt import Excerpt


class Camera:
    """The frames of a camera, (H, W, 3) uint8 RGB each, until it stops.

    Frames that arrive faster than they are read are dropped.

    Attributes:
        fps: the camera's frames per second, divided by the excerpt's stride.
        num_frames: None.
        problem: why it stopped, unless the excerpt is over; None before.
        timestamps: of the frames read so far, in units of 1 / ``fps``; take them from the left.
    """

    num_frames = None

    def __init__(self, name: int | str = 0, excerpt: Excerpt | None = None):
        """
        Args:
            name: the number of the camera, or a URL like ``rtsp://...``.
            excerpt: the part to read; times are relative to the first frame.

        Raises:
            VideoError: if the camera cannot be opened.
        """
        self._capture = cv2.VideoCapture(name)
        if not self._capture.isOpened():
            raise VideoError(f"camera {name} cannot be opened")
        # Some drivers buffer several frames, which then arrive late.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._excerpt = excerpt or Excerpt()
        fps = self._capture.get(cv2.CAP_PROP_FPS) or 25
        self.fps = Fraction(fps).limit_denominator(1001) / self._excerpt.stride
        self.problem: str | None = None
        self.timestamps: deque[int] = deque()

    def __iter__(self) -> Iterator[np.ndarray]:
        first, count = None, 0
        try:
            while True:
                success, frame = self._capture.read()
                now = time.monotonic()
                first = now if first is None else first
                seconds = now - first
                if not success:
                    self.problem = "it sends no more frames"
                    return
                if seconds >= self._excerpt.end:
                    return
                if seconds < self._excerpt.start:
                    continue
                if count % self._excerpt.stride == 0:
                    self.timestamps.append(round((seconds - self._excerpt.start) * self.fps))
                    yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                count += 1
        finally:
            self._capture.release()
