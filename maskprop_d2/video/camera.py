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
    """The frames of a camera, (H, W, 3) uint8 RGB each, until it ends.

    Those that come while nobody is ready for them are left out.

    Attributes:
        fps: frames per second, as the camera says, of which the excerpt takes its share.
        num_frames: None.
        places: of each frame given so far, and not yet taken from the left, its number in a video
            of ``fps`` that plays as fast as the frames came.
    """

    num_frames = None

    def __init__(self, name: int | str = 0, excerpt: Excerpt | None = None):
        """
        Args:
            name: the camera's number, or its address, as ``rtsp://...``.
            excerpt: seconds count from the first frame.

        Raises:
            VideoError: if there is no such camera.
        """
        self._capture = cv2.VideoCapture(name)
        if not self._capture.isOpened():
            raise VideoError(f"camera {name} cannot be opened")
        # Else some keep several old frames for those who are slow.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._excerpt = excerpt or Excerpt()
        fps = self._capture.get(cv2.CAP_PROP_FPS) or 25
        self.fps = Fraction(fps).limit_denominator(1001) / self._excerpt.stride
        self.places: deque[int] = deque()

    def __iter__(self) -> Iterator[np.ndarray]:
        began, count = None, 0
        try:
            while True:
                read, frame = self._capture.read()
                now = time.monotonic()
                began = now if began is None else began
                if not read or now - began >= self._excerpt.end:
                    return
                if now - began < self._excerpt.start:
                    continue
                if count % self._excerpt.stride == 0:
                    self.places.append(round((now - began - self._excerpt.start) * self.fps))
                    yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                count += 1
        finally:
            self._capture.release()
