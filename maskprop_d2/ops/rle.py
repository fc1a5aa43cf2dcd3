"""Masks as COCO's run-length encoding."""

import reprlib
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..structures import RLE

MAX_SIDE = 2**15
"""Height and width of a frame are less than this, so that its pixels can be counted in 32 bits."""
MAX_OUTLINE = 2**20
"""In pixels, of all polygons of a mask together: far more than any object has."""
_WRONG_SUM = "the RLE's runs must add up to the pixels of the frame"


def encode(mask: np.ndarray) -> RLE:
    """(H, W) bool mask -> compressed RLE."""
    return _with_text(coco_mask.encode(np.asfortranarray(mask, np.uint8)))


def decode(rle: RLE) -> np.ndarray:
    """Compressed RLE -> (H, W) bool mask."""
    return coco_mask.decode(rle).astype(bool)


class MaskSizeError(ValueError):
    """A mask of another size than its frame's."""


def to_rle(segmentation: Any, height: int, width: int) -> RLE:
    """Any of COCO's ways to write a mask -> compressed RLE.

    Args:
        segmentation: polygons (lists of x, y, x, y, ...), compressed or uncompressed RLE.
        height, width: size that the mask must have.

    Raises:
        MaskSizeError: if it has another size.
        ValueError: if it is no mask.
    """
    counts = _to_counts(segmentation, height, width)
    _areas([counts], height * width)
    return {"size": [height, width], "counts": counts.decode()}


def track_to_counts(
    segmentations: list[Any], height: int, width: int
) -> tuple[list[bytes | None], np.ndarray]:
    """The masks of a track, as ``to_rle`` takes them, in the shortest form; fast for many masks.

    Args:
        segmentations: a mask for each of L frames; None or an empty list where there is none.
        height, width: size that the masks must have.

    Returns:
        the ``counts`` of L compressed RLEs, None where there is none, and (L,) areas in pixels.

    Raises:
        MaskSizeError, ValueError: as ``to_rle``, saying in which frame.
    """
    counts: list[bytes | None] = []
    for t, mask in enumerate(segmentations):
        try:
            absent = mask is None or mask == []
            counts.append(None if absent else _to_counts(mask, height, width))
        except ValueError as error:
            raise type(error)(f"frame {t}: {error}") from error
    seen = {t: text for t, text in enumerate(counts) if text is not None}
    areas = np.zeros(len(counts), np.int64)
    try:
        areas[list(seen)] = _areas(list(seen.values()), height * width)
    except ValueError:
        # Once more, one by one, to find out which it was.
        for t, text in seen.items():
            try:
                _areas([text], height * width)
            except ValueError as error:
                raise ValueError(f"frame {t}: {error}") from error
        raise
    return counts, areas


def _to_counts(segmentation: Any, height: int, width: int) -> bytes:
    """The counts of a compressed RLE; those of one that came compressed are not checked."""
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("a mask must be an RLE, a list of polygons, or null")
    size, counts = segmentation.get("size"), segmentation["counts"]
    if size != [height, width]:
        error = MaskSizeError if _is_size(size) else ValueError
        raise error(
            f"the mask's size is {reprlib.repr(size)}, but the frame's is {[height, width]}"
        )
    if isinstance(counts, str):
        # What is not ASCII gives bytes that no RLE has.
        return counts.encode("utf-8", "surrogatepass")
    if isinstance(counts, bytes):
        return counts
    if not isinstance(counts, list) or not all(type(x) is int for x in counts):
        raise ValueError("the counts of an RLE must be a string or a list of whole numbers")
    if any(x < 0 for x in counts) or sum(counts) != height * width:
        raise ValueError(_WRONG_SUM)
    rle = {"size": [height, width], "counts": counts}
    return coco_mask.frPyObjects(rle, height, width)["counts"]


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, list)
        and len(size) == 2
        and all(type(x) is int and 0 < x < MAX_SIDE for x in size)
    )


def _from_polygons(polygons: list[Any], height: int, width: int) -> bytes:
    if not polygons:
        raise ValueError("a list of polygons must not be empty: write null for an unseen object")
    outline = 0.0
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon must be a list of at least three points x, y, x, y, ...")
        if not all(isinstance(v, int | float) and abs(v) < 1e5 for v in polygon):
            raise ValueError("a polygon's coordinates must be numbers of pixels")
        points = np.reshape(polygon, (-1, 2))
        outline += np.abs(points - np.roll(points, 1, axis=0)).max(1).sum()
    # Drawing takes memory for each pixel of the outline.
    if outline > MAX_OUTLINE:
        raise ValueError(f"the polygons' outline is {outline:.0f} pixels long: that is no object")
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))["counts"]


def _areas(counts: list[bytes], frame_area: int) -> np.ndarray:
    """(M,) areas of M compressed RLEs, which must fill their frames exactly."""
    runs, firsts = _decompress(counts)
    if not len(firsts):
        return np.zeros(0, np.int64)
    if (runs < 0).any() or (np.add.reduceat(runs, firsts) != frame_area).any():
        raise ValueError(_WRONG_SUM)
    return np.add.reduceat(np.where(_places(firsts, len(runs)) % 2, runs, 0), firsts)


def _decompress(counts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The run lengths of M compressed RLEs, one after the other, and (M,) where each begins.

    An RLE is written as numbers in base 32, low digits first, a bit for "more follow", sign
    extended; from the fourth on, the difference to the run before the last.
    """
    if not all(counts):
        raise ValueError(_WRONG_SUM)
    digits = np.frombuffer(b"".join(counts), np.uint8) - np.uint8(48)
    if (digits > 63).any():
        raise ValueError("the counts of an RLE have characters that do not belong there")
    text_ends = np.cumsum([len(x) for x in counts], dtype=np.int64)
    is_last = digits < 32
    if not is_last[text_ends - 1].all():
        raise ValueError("the counts of an RLE end in the middle of a number")
    ends = np.flatnonzero(is_last)
    starts = np.append(0, ends + 1)[: len(ends)]
    lengths = ends - starts + 1
    if len(ends) and lengths.max() > 7:
        raise ValueError("the counts of an RLE have a number that is far too large")
    values = (digits[starts] & 31).astype(np.int64)
    for place in range(1, lengths.max(initial=1)):
        longer = np.flatnonzero(lengths > place)
        values[longer] |= (digits[starts[longer] + place] & np.int64(31)) << (5 * place)
    values -= np.where(digits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    firsts = np.append(0, np.searchsorted(ends, text_ends))[: len(counts)]
    return _undo_differences(values, firsts), firsts


def _undo_differences(values: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Sums within each RLE, separately for the runs of zeros after the first and those of ones."""
    parity = _places(firsts, len(values)) % 2
    runs = values.copy()
    for which in (0, 1):
        mine = parity == which
        sums = np.cumsum(np.where(mine, values, 0))
        # All sums of an RLE start after its first run, which stands for itself.
        before = np.repeat(sums[firsts], np.diff(np.append(firsts, len(values))))
        runs[mine] = (sums - before)[mine]
    runs[firsts] = values[firsts]
    return runs


def _places(firsts: np.ndarray, number: int) -> np.ndarray:
    """(number,) the place of each run in its RLE, from 0."""
    return np.arange(number) - np.repeat(firsts, np.diff(np.append(firsts, number)))


def _with_text(rle: dict[str, Any]) -> RLE:
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}
