"""Masks in COCO's run-length encoding (RLE)."""

import reprlib
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from ..errors import MaskSizeError
from ..structures import RLE

MAX_SIDE = 2**15  # Bound of a frame's height and width: its pixels can be counted in 32 bits.
MAX_PIXELS = 2**26  # Most pixels of a frame: four times those of the largest videos.
MAX_OUTLINE = 2**20  # Longest outline of a mask in pixels: far longer than any object's.
_WRONG_SUM = "the RLE's runs must add up to the pixels of the frame"


def encode(mask: np.ndarray) -> RLE:
    """(H, W) bool mask -> compressed RLE."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def decode(rle: RLE) -> np.ndarray:
    """Compressed RLE -> (H, W) bool mask."""
    x0, y0, crop = decode_box(rle)
    mask = np.zeros(rle["size"], bool)
    mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    return mask


def decode_box(rle: RLE) -> tuple[int, int, np.ndarray]:
    """The left and top edge of a mask's bounding box, and the (h, w) bool mask in it, which is
    empty for an empty mask. Much faster than decoding all of the frame for small objects."""
    height = rle["size"][0]
    runs, _, errors = _decompress([rle["counts"].encode()])
    if errors:
        raise ValueError(errors[0])
    # Runs of zeros and ones alternate, in column-major order. A last run of zeros is dropped.
    ends = np.cumsum(runs)[: len(runs) // 2 * 2]
    if not runs[1::2].any():
        return 0, 0, np.zeros((0, 0), bool)
    first, last = int(ends[0]), int(ends[-1])
    x0, x1 = first // height, (last - 1) // height + 1
    columns = np.zeros((x1 - x0, height), bool)
    ones = np.arange(1, len(ends)) % 2 == 1
    columns.ravel()[first - x0 * height : last - x0 * height] = np.repeat(ones, runs[1 : len(ends)])
    rows = np.flatnonzero(columns.any(0))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    return x0, y0, columns[:, y0:y1].T


def is_absent(segmentation: Any) -> bool:
    """Whether an entry of ``segmentations``, null or an empty list, says that the object is not
    visible."""
    return segmentation is None or segmentation == []


def to_rle(segmentation: Any, height: int, width: int) -> RLE:
    """Convert a mask in any of COCO's formats to a compressed RLE.

    Args:
        segmentation: polygons (lists of x, y, x, y, ...), compressed or uncompressed RLE.
        height, width: size of the frame.

    Raises:
        MaskSizeError: if the mask has another size.
        ValueError: if it is not a valid mask.
    """
    counts = _to_counts(segmentation, height, width)
    _, errors = _areas([counts], np.array([height * width]))
    if errors:
        raise ValueError(errors[0])
    return {"size": [height, width], "counts": counts.decode()}


class CompressedTrack(NamedTuple):
    """The L masks of a track as compressed RLEs.

    Attributes:
        counts: the ``counts`` of each RLE; None if the object is not visible or the mask invalid.
        areas: (L,) areas in pixels.
        errors: the errors of invalid masks, by frame.
    """

    counts: list[bytes | None]
    areas: np.ndarray
    errors: dict[int, ValueError]


def track_to_counts(
    segmentations: list[Any], height: int, width: int
) -> tuple[list[bytes | None], np.ndarray]:
    """Compress and check the masks of a track.

    Args:
        segmentations: a mask for each of L frames, in any format of ``to_rle``; None or an empty
            list if the object is not visible.
        height, width: size of the frames.

    Returns:
        the ``counts`` of L compressed RLEs, None if the object is not visible; (L,) areas in
        pixels.

    Raises:
        MaskSizeError, ValueError: as ``to_rle``, for the first frame with an invalid mask.
    """
    counts, areas, errors = compress_tracks([(segmentations, height, width)])[0]
    if errors:
        t, error = min(errors.items())
        raise type(error)(f"frame {t}: {error}") from error
    return counts, areas


def compress_tracks(tracks: list[tuple[list[Any], int, int]]) -> list[CompressedTrack]:
    """Compress and check the masks of several tracks at once, which is faster than one by one.

    Args:
        tracks: ``segmentations``, ``height`` and ``width`` of each, as for ``track_to_counts``.
    """
    compressed: list[CompressedTrack] = []
    visible: list[tuple[CompressedTrack, int]] = []
    counts, frame_areas = [], []
    for segmentations, height, width in tracks:
        length = len(segmentations)
        track = CompressedTrack([None] * length, np.zeros(length, np.int64), {})
        compressed.append(track)
        for t, mask in enumerate(segmentations):
            if not is_absent(mask):
                try:
                    counts.append(_to_counts(mask, height, width))
                except ValueError as error:
                    track.errors[t] = error
                else:
                    visible.append((track, t))
                    frame_areas.append(height * width)
    areas, errors = _areas(counts, np.array(frame_areas))
    for i, (track, t) in enumerate(visible):
        if i in errors:
            track.errors[t] = ValueError(errors[i])
        else:
            track.counts[t], track.areas[t] = counts[i], areas[i]
    return compressed


def _to_counts(segmentation: Any, height: int, width: int) -> bytes:
    """The ``counts`` of a compressed RLE, not yet checked if the mask was compressed before."""
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
        # Characters that are not ASCII become bytes that _decompress rejects.
        return counts.encode("utf-8", "surrogatepass")
    if isinstance(counts, bytes):
        return counts
    if not isinstance(counts, list) or not all(type(x) is int for x in counts):
        raise ValueError("the counts of an RLE must be a string or a list of whole numbers")
    if min(counts, default=0) < 0 or sum(counts) != height * width:
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
        raise ValueError("a list of polygons must not be empty: use null for an invisible object")
    outline = 0.0
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon must be a list of at least three points x, y, x, y, ...")
        if not all(isinstance(v, int | float) and abs(v) < 1e5 for v in polygon):
            raise ValueError("a polygon's coordinates must be numbers of pixels")
        points = np.reshape(polygon, (-1, 2))
        outline += np.abs(points - np.roll(points, 1, axis=0)).max(1).sum()
    # pycocotools allocates memory for each pixel of the outline.
    if outline > MAX_OUTLINE:
        raise ValueError(
            f"the polygons' outline is {outline:.0f} pixels long; the limit is {MAX_OUTLINE}"
        )
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))["counts"]


def _areas(counts: list[bytes], frame_areas: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """(M,) areas of compressed RLEs, whose runs must add up to the (M,) pixels of their frames, and
    the error messages of invalid RLEs by index."""
    if not counts:
        return np.zeros(0, np.int64), {}
    runs, firsts, errors = _decompress(counts)
    total = np.add.reduceat(runs, firsts, dtype=np.int64)
    bad = (total != frame_areas) | (np.minimum.reduceat(runs, firsts) < 0)
    for i in np.flatnonzero(bad):
        errors.setdefault(int(i), _WRONG_SUM)
    # Every second run consists of ones or, if the RLE starts at an odd index, of zeros.
    sums = np.append(0, np.cumsum(runs[1::2], dtype=np.int64))
    odd = np.diff(sums[np.append(firsts, len(runs)) // 2])
    return np.where(firsts % 2 == 0, odd, total - odd), errors


def _decompress(counts: list[bytes]) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Decompress M RLEs at once, to their concatenated run lengths, (M,) the index of the first run
    of each, and the error messages of invalid RLEs, whose run lengths are arbitrary, by index.

    The counts of an RLE are characters of 6 bits, starting at "0". Each number is written as its
    5-bit digits, lowest first; the sixth bit is set if more digits follow, and bit 4 of the last
    digit is the sign. From the fourth number on, the difference to the number before the previous
    one is stored.
    """
    # An empty string becomes a run of length 0.
    counts = [text or b"0" for text in counts]
    ends = np.cumsum([len(text) for text in counts], dtype=np.int64)
    digits = np.frombuffer(b"".join(counts), np.uint8) - np.uint8(48)
    errors: dict[int, str] = {}
    if digits.max(initial=0) > 63:
        for i in np.searchsorted(ends, np.flatnonzero(digits > 63), side="right"):
            errors[int(i)] = "the counts of an RLE have an invalid character"
    for i in np.flatnonzero(digits[ends - 1] > 31):
        errors.setdefault(int(i), "the counts of an RLE end in the middle of a number")
    for i in errors:
        digits[ends[i] - len(counts[i]) : ends[i]] = 0
    is_continued = digits > 31
    # Start with the last digit, which has the sign. 32 bits, as in pycocotools, are much faster
    # than 64.
    values = (digits[~is_continued] ^ 16).astype(np.int32) - 16
    # Few numbers have more than one digit. For each of their digits but the last: the index of the
    # number and the position of the digit.
    places = np.flatnonzero(is_continued)
    longer = places - np.arange(len(places))
    firsts = np.append(0, ends - np.searchsorted(places, ends))[: len(counts)]
    is_next_to_last = np.append(longer[1:] != longer[:-1], True)[: len(longer)]
    longer, places = longer[is_next_to_last], places[is_next_to_last]
    for _ in range(6):
        values[longer] = (values[longer] << 5) | (digits[places] & 31)
        places = places - 1
        more = is_continued[places]
        longer, places = longer[more], places[more]
    for i in np.searchsorted(firsts, longer, side="right") - 1:
        errors[int(i)] = "the counts of an RLE have a number that is too large"
    return _undo_differences(values, firsts), firsts, errors


def _undo_differences(values: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Sum up, within each RLE, the values of the runs of ones (indices 1, 3, 5, ...) and those of
    zeros after the first (indices 2, 4, 6, ...): cumulative sums over all RLEs, minus the sum
    before each."""
    ends = np.append(firsts[1:], len(values))
    runs = np.empty_like(values)
    for parity in (0, 1):
        sums = np.cumsum(np.ascontiguousarray(values[parity::2]), dtype=np.int32)
        # How many numbers at indices of this parity come before the start and the end of each RLE.
        start, end = (firsts + 1 - parity) // 2, (ends + 1 - parity) // 2
        # The first number of an RLE is part of no sum.
        skipped = start + (firsts % 2 == parity)
        before = np.append(np.int32(0), sums)[skipped]
        runs[parity::2] = sums - np.repeat(before, end - start)
    runs[firsts] = values[firsts]
    return runs
