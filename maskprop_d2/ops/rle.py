"""Masks as COCO's run-length encoding."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..structures import RLE


def encode(mask: np.ndarray) -> RLE:
    """(H, W) bool mask -> compressed RLE."""
    return _with_text(coco_mask.encode(np.asfortranarray(mask, np.uint8)))


def decode(rle: RLE) -> np.ndarray:
    """Compressed RLE -> (H, W) bool mask."""
    return coco_mask.decode(rle).astype(bool)


def to_rle(segmentation: Any, height: int, width: int) -> RLE:
    """Any of COCO's ways to write a mask -> compressed RLE.

    Args:
        segmentation: polygons (lists of x, y, x, y, ...), compressed or uncompressed RLE.
        height, width: size that the mask must have.

    Raises:
        ValueError: if it is none of them, or does not fit the size.
    """
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("a mask must be an RLE, a list of polygons, or null")
    size, counts = segmentation.get("size"), segmentation["counts"]
    if not isinstance(size, list) or size != [height, width]:
        raise ValueError(f"the mask's size is {size}, but the frame's is {[height, width]}")
    if isinstance(counts, bytes):
        counts = counts.decode("latin1")
    if isinstance(counts, str):
        runs = _decompress(counts)
    elif isinstance(counts, list) and all(type(x) is int for x in counts):
        # Runs longer than the frame are wrong in any case: they need not fit 64 bits.
        runs = np.array([max(-1, min(x, height * width + 1)) for x in counts], dtype=np.int64)
    else:
        raise ValueError("the counts of an RLE must be a string or a list of whole numbers")
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(
            f"the RLE's runs must add up to the {height} x {width} pixels of the frame"
        )
    if isinstance(counts, str):
        return {"size": size, "counts": counts}
    return _with_text(coco_mask.frPyObjects({"size": size, "counts": counts}, height, width))


def _from_polygons(polygons: list[Any], height: int, width: int) -> RLE:
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon must be a list of at least three points x, y, x, y, ...")
        if not all(isinstance(v, int | float) and abs(v) < 1e5 for v in polygon):
            raise ValueError("a polygon's coordinates must be numbers of pixels")
    if not polygons:
        raise ValueError("a list of polygons must not be empty: write null for an unseen object")
    return _with_text(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))


def _decompress(counts: str) -> np.ndarray:
    """The run lengths in a compressed RLE: numbers in base 32, low digits first, a bit for "more
    follow", sign extended; from the fourth on, the difference to the run before the last."""
    digits = np.frombuffer(counts.encode("latin1", "replace"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((digits & 0x20) == 0)
    if len(digits) and ((digits < 0) | (digits > 63)).any():
        raise ValueError("the counts of an RLE have characters that do not belong there")
    if len(digits) and (len(ends) == 0 or ends[-1] != len(digits) - 1):
        raise ValueError("the counts of an RLE end in the middle of a number")
    if not len(digits):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise ValueError("the counts of an RLE have a number that is far too large")
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((digits & 0x1F) << (5 * place), starts)
    negative = (digits[ends] & 0x10) != 0
    values = np.where(negative, values - (np.int64(1) << (5 * lengths)), values)
    # Undo the differences, separately for the runs of zeros and those of ones.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _with_text(rle: dict[str, Any]) -> RLE:
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}
