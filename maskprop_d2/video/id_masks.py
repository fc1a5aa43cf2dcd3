"""Id masks: PNGs whose pixel values name objects, as DAVIS and MOTS have them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import VideoError
from ..ops.rle import decode_box
from ..structures import RLE
from .drawing import track_color

BACKGROUND, VOID = 0, 255
LARGEST_ID = 2**16 - 1


def object_id(track_id: int) -> int:
    """The pixel value of a track: 1 for track 0, and so on, without ``VOID``, which DAVIS and its
    readers take for no object."""
    return track_id + 1 if track_id + 1 < VOID else track_id + 2


def draw_id_mask(
    masks: Sequence[RLE], track_ids: list[int], scores: list[float], height: int, width: int
) -> np.ndarray:
    """Where masks overlap, the object with the higher score lies on top.

    Args:
        masks: N RLEs of the frame's size.
        track_ids: their N ids.
        scores: their N scores.
        height, width: size of the frame.

    Returns:
        (H, W) ``object_id``s: uint8 if they fit, else uint16.

    Raises:
        VideoError: if an id does not fit into 16 bits either.
    """
    largest = max(map(object_id, track_ids), default=0)
    if largest > LARGEST_ID:
        raise VideoError(f"id masks have room for {LARGEST_ID - 1} objects, but there are more")
    ids = np.full((height, width), BACKGROUND, np.uint8 if largest < VOID else np.uint16)
    for i in np.argsort(scores, kind="stable"):
        x0, y0, inside = decode_box(masks[i])
        ids[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]][inside] = object_id(track_ids[i])
    return ids


class IdMaskWriter:
    """Writes a PNG a frame into a folder, as they come.

    It has a palette, with the colours of ``draw_tracks``. A frame with ids above 254 becomes a grey
    PNG of 16 bits instead. In both, the pixel values are the ids.
    """

    def __init__(self, folder: str | Path, names: Sequence[str] = ()):
        """
        Args:
            folder: made with the first frame if it is not there.
            names: of the files without their suffix; by default numbers from 00000.
        """
        self.folder = Path(folder)
        self._names = names
        self._count = 0
        colors = [(0, 0, 0), *map(track_color, range(VOID - 1)), (255, 255, 255)]
        self._palette = [value for color in colors for value in color]

    def write(self, ids: np.ndarray) -> None:
        """Write the next frame's, what ``draw_id_mask`` gives, whole or not at all."""
        image = Image.fromarray(ids)
        if ids.dtype == np.uint8:
            image.putpalette(self._palette)
        self.folder.mkdir(parents=True, exist_ok=True)
        name = self._names[self._count] if self._names else f"{self._count:05d}"
        self._count += 1
        path = self.folder / f"{name}.png"
        partial = path.with_name(f".partial-{path.name}")
        try:
            image.save(partial, format="PNG", compress_level=1)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
