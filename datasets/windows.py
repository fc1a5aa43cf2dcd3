"""Windows of frames: tiles, and frames without their border."""

from typing import NamedTuple

import numpy as np

from maskprop_d2.errors import AnnotationError


class Window(NamedTuple):
    """A part of a sequence's frames, which becomes a video: its name and edges in pixels."""

    name: str
    x0: int
    y0: int
    x1: int
    y1: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The window of an (H, W) image."""
        return image[self.y0 : self.y1, self.x0 : self.x1]


def make_windows(name: str, height: int, width: int, border: int, tile: int | None) -> list[Window]:
    """The frame without its border, or the fewest tiles that cover that.

    Raises:
        AnnotationError: if the frame is too small.
    """
    inner = height - 2 * border, width - 2 * border
    if min(inner) < (tile or 1):
        raise AnnotationError(
            f"{name}: frames of {width} x {height} pixels are too small for --border {border}"
            + (f" and --tile {tile}" if tile else "")
        )
    if tile is None:
        return [Window(name, border, border, width - border, height - border)]
    ys, xs = (
        (border + np.linspace(0, n - tile, -(-n // tile)).astype(int)).tolist() for n in inner
    )
    return [Window(f"{name}_{y}_{x}", x, y, x + tile, y + tile) for y in ys for x in xs]
