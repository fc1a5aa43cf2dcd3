"""Id masks: PNG images whose pixel values are object ids, as in DAVIS and MOTS."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import VideoError
from ..files import atomic_file
from ..ops.rle import decode_box
from ..structures import RLE
from .drawing import track_color
from .images import load_image

BACKGROUND, VOID = 0, 255
MAX_ID = 2**16 - 1
ID_MODES = {"1", "P", "L", "I", "I;16", "I;16B"}
"""Pillow's modes of one channel: binary, palette, grayscale of 8 to 32 bits."""


def read_id_mask(path: str | Path) -> np.ndarray:
    """(H, W) integers: the ids in a palette or grayscale PNG.

    Raises:
        VideoError: if it is another kind of file.
    """
    image = load_image(path)
    if image.mode not in ID_MODES:
        raise VideoError(
            f"{path} has colours ({image.mode}) instead of ids: it must be a palette or grayscale "
            "PNG"
        )
    return np.asarray(image)


def object_values(ids: np.ndarray) -> list[int]:
    """The values of objects in an id mask: all but ``BACKGROUND`` and ``VOID``. If there is only
    ``VOID``, it is taken as an object, white on black."""
    values = [int(x) for x in np.unique(ids) if x != BACKGROUND]
    return [x for x in values if x != VOID] or values


def object_id(track_id: int) -> int:
    """The pixel value of a track: ``track_id + 1``, skipping ``VOID``, which marks ignored pixels
    in DAVIS."""
    return track_id + 1 if track_id + 1 < VOID else track_id + 2


def draw_id_mask(
    masks: Sequence[RLE], track_ids: list[int], scores: list[float], height: int, width: int
) -> np.ndarray:
    """Draw objects with their ids. Where masks overlap, the object with the highest score wins.

    Args:
        masks: N RLEs of the frame's size.
        track_ids: N track ids.
        scores: N scores.
        height, width: size of the frame.

    Returns:
        (H, W) values of ``object_id``: uint8 if they fit, else uint16.

    Raises:
        VideoError: if an id does not fit into 16 bits.
    """
    largest = max(map(object_id, track_ids), default=0)
    if largest > MAX_ID:
        raise VideoError(f"id masks can hold at most {MAX_ID - 1} objects")
    ids = np.full((height, width), BACKGROUND, np.uint8 if largest < VOID else np.uint16)
    for i in np.argsort(scores, kind="stable"):
        x0, y0, crop = decode_box(masks[i])
        ids[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]][crop] = object_id(track_ids[i])
    return ids


class IdMaskWriter:
    """Writes one PNG per frame into a folder, which is created with the first frame.

    Frames with ids up to 254 are written with a palette, in the colours of ``draw_tracks``; others
    as 16-bit greyscale. In both, the pixel values are the ids.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        colors = [(0, 0, 0), *map(track_color, range(VOID - 1)), (255, 255, 255)]
        self._palette = [value for color in colors for value in color]

    def write(self, ids: np.ndarray, name: str) -> None:
        """Write a frame, an array from ``draw_id_mask``; ``name`` is without suffix."""
        image = Image.fromarray(ids)
        if ids.dtype == np.uint8:
            image.putpalette(self._palette)
        with atomic_file(self.folder / f"{name}.png", fsync=False) as partial:
            image.save(partial, format="PNG", compress_level=1)
