"""Trails: the ways that objects have come."""

from collections import deque

import cv2
import numpy as np

Point = tuple[float, float]
Color = tuple[int, int, int]

# Binary digits after the point in OpenCV's coordinates: without them, slow objects' trails jitter.
SHIFT = 4


class Trails:
    """The paths of objects' centres over the last frames, thin where they are old."""

    def __init__(self, length: int):
        """
        Args:
            length: how many frames they go back.
        """
        self._frames: deque[dict[int, tuple[Point, Color]]] = deque(maxlen=length + 1)

    def add_frame(self, centers: dict[int, tuple[Point, Color]]) -> None:
        """Add the next frame: by track id the centre x, y in pixels, and the track's RGB colour."""
        self._frames.append(centers)

    def draw(self, image: np.ndarray) -> None:
        """Draw on a frame, (H, W, 3) uint8 RGB."""
        thickest = max(2.0, min(image.shape[:2]) / 150)
        length = len(self._frames)
        last: dict[int, tuple[int, int]] = {}
        for i, centers in enumerate(self._frames, start=1):
            thickness = max(1, round(thickest * i / length))
            for track_id, ((x, y), color) in centers.items():
                point = round(x * 2**SHIFT), round(y * 2**SHIFT)
                if track_id in last:
                    ends = last[track_id], point
                    cv2.line(image, *ends, color, thickness, cv2.LINE_AA, SHIFT)
                last[track_id] = point
