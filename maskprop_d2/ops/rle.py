"""Masks as COCO's run-length encoding."""

import reprlib
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from ..errors import MaskSizeError
from ..structures import RLE

MAX_SIDE = 2**15
"""Height and width of a frame are less than this, so that its pixels can be counted in 32 bits."""
MAX_PIXELS = 2**26
"""Of a frame: four times those of the largest videos. A mask of more would fill the memory."""
MAX_OUTLINE = 2**20
"""In pixels, of all polygons of a mask together: far more than any object has."""
_WRONG_SUM = "the RLE's runs must add up to the pixels of the frame"


def encode(mask: np.ndarray) -> RLE:
    """(H, W) bool mask -> compressed RLE."""
    return _with_text(coco_mask.encode(np.asfortranarray(mask, np.uint8)))


def decode(rle: RLE) -> np.ndarray:
    """Compressed RLE -> (H, W) bool mask."""
    x0, y0, inside = decode_box(rle)
    mask = np.zeros(rle["size"], bool)
    mask[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]] = inside
    return mask


def decode_box(rle: RLE) -> tuple[int, int, np.ndarray]:
    """Compressed RLE -> x0, y0 and the (h, w) bool mask of the smallest box around the object.

    The mask is empty where there is no object. It takes far less time than ``decode`` where
    objects are small.
    """
    height = rle["size"][0]
    runs, _, errors = _decompress([rle["counts"].encode()])
    if errors:
        raise ValueError(errors[0])
    # Runs go down the columns, of zeros and ones in turn.
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
    """Whether it says that the object is not seen: null, or no polygon at all."""
    return segmentation is None or segmentation == []


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
    _, errors = _areas([counts], np.array([height * width]))
    if errors:
        raise ValueError(errors[0])
    return {"size": [height, width], "counts": counts.decode()}


class CompressedTrack(NamedTuple):
    """The L masks of a track as compressed RLEs.

    Attributes:
        counts: of each RLE; None where the object is not seen or its mask is bad.
        areas: (L,) in pixels.
        errors: what is wrong with the bad masks, by frame.
    """

    counts: list[bytes | None]
    areas: np.ndarray
    errors: dict[int, ValueError]


def track_to_counts(
    segmentations: list[Any], height: int, width: int
) -> tuple[list[bytes | None], np.ndarray]:
    """Compress and check the masks of a track.

    Args:
        segmentations: a mask for each of L frames, as ``to_rle`` takes them; None or an empty
            list where the object is not seen.
        height, width: size that the masks must have.

    Returns:
        the ``counts`` of L compressed RLEs, None where the object is not seen; and (L,) areas in
        pixels.

    Raises:
        MaskSizeError, ValueError: as ``to_rle``, naming the first frame with a bad mask.
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
    compressed = []
    for segmentations, height, width in tracks:
        track = CompressedTrack([], np.zeros(len(segmentations), np.int64), {})
        for t, mask in enumerate(segmentations):
            try:
                track.counts.append(None if is_absent(mask) else _to_counts(mask, height, width))
            except ValueError as error:
                track.counts.append(None)
                track.errors[t] = error
        compressed.append(track)
    counts = [text for track in compressed for text in track.counts]
    seen = np.array([text is not None for text in counts], bool)
    frame_areas = [height * width for _, height, width in tracks]
    lengths = [len(track.counts) for track in compressed]
    areas = np.zeros(len(counts), np.int64)
    areas[seen], errors = _areas(
        [text for text in counts if text is not None], np.repeat(frame_areas, lengths)[seen]
    )
    starts = np.append(0, np.cumsum(lengths, dtype=int))
    for track, start in zip(compressed, starts, strict=False):
        track.areas[:] = areas[start : start + len(track.areas)]
    for i, message in errors.items():
        place = np.flatnonzero(seen)[i]
        k = int(np.searchsorted(starts, place, side="right")) - 1
        t = int(place - starts[k])
        compressed[k].counts[t] = None
        compressed[k].areas[t] = 0
        compressed[k].errors[t] = ValueError(message)
    return compressed


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


def _areas(counts: list[bytes], frame_areas: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Areas of M compressed RLEs, which must fill their frames exactly.

    Args:
        counts: of the RLEs.
        frame_areas: (M,) pixels of their frames.

    Returns:
        (M,) areas in pixels; and what is wrong with the bad RLEs, by index.
    """
    if not counts:
        return np.zeros(0, np.int64), {}
    runs, firsts, errors = _decompress(counts)
    total = np.add.reduceat(runs, firsts, dtype=np.int64)
    bad = (total != frame_areas) | (np.minimum.reduceat(runs, firsts) < 0)
    for i in np.flatnonzero(bad):
        errors.setdefault(int(i), _WRONG_SUM)
    # Every second run is one of ones, or, if the RLE starts at an odd index, one of zeros.
    sums = np.append(0, np.cumsum(runs[1::2], dtype=np.int64))
    odd = np.diff(sums[np.append(firsts, len(runs)) // 2])
    return np.where(firsts % 2 == 0, odd, total - odd), errors


def _decompress(counts: list[bytes]) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """The run lengths of M compressed RLEs, one after the other; (M,) the index where each RLE
    starts; and what is wrong with the bad RLEs, whose runs mean nothing, by index.

    An RLE is written as numbers in base 32, low digits first, a bit for "more follow", sign
    extended; from the fourth on, the difference to the run before the last.
    """
    # An empty text becomes a run of no pixels.
    counts = [text or b"0" for text in counts]
    ends = np.cumsum([len(text) for text in counts], dtype=np.int64)
    digits = np.frombuffer(b"".join(counts), np.uint8) - np.uint8(48)
    errors: dict[int, str] = {}
    if digits.max(initial=0) > 63:
        for i in np.searchsorted(ends, np.flatnonzero(digits > 63), side="right"):
            errors[int(i)] = "the counts of an RLE have characters that do not belong there"
    for i in np.flatnonzero(digits[ends - 1] > 31):
        errors.setdefault(int(i), "the counts of an RLE end in the middle of a number")
    for i in errors:
        digits[ends[i] - len(counts[i]) : ends[i]] = 0
    goes_on = digits > 31
    # The last digit has the sign. In 32 bits, which is much faster, and what pycocotools does.
    values = (digits[~goes_on] ^ 16).astype(np.int32) - 16
    # Few numbers have more than one digit: their index, and the place of the digit before.
    places = np.flatnonzero(goes_on)
    longer = places - np.arange(len(places))
    firsts = np.append(0, ends - np.searchsorted(places, ends))[: len(counts)]
    is_next_to_last = np.append(longer[1:] != longer[:-1], True)[: len(longer)]
    longer, places = longer[is_next_to_last], places[is_next_to_last]
    for _ in range(6):
        values[longer] = (values[longer] << 5) | (digits[places] & 31)
        places = places - 1
        more = goes_on[places]
        longer, places = longer[more], places[more]
    for i in np.searchsorted(firsts, longer, side="right") - 1:
        errors[int(i)] = "the counts of an RLE have a number that is far too large"
    return _undo_differences(values, firsts), firsts, errors


def _undo_differences(values: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """Sums within each RLE, separately for the runs of zeros after the first and those of ones.

    Sums over every second number run through all RLEs; those up to the start are taken off.
    """
    ends = np.append(firsts[1:], len(values))
    runs = np.empty_like(values)
    for which in (0, 1):
        sums = np.cumsum(np.ascontiguousarray(values[which::2]), dtype=np.int32)
        # Numbers of this parity before each RLE, and before its end.
        start, end = (firsts + 1 - which) // 2, (ends + 1 - which) // 2
        # An RLE's first number belongs to no sum.
        skipped = start + (firsts % 2 == which)
        before = np.append(np.int32(0), sums)[skipped]
        runs[which::2] = sums - np.repeat(before, end - start)
    runs[firsts] = values[firsts]
    return runs


def _with_text(rle: dict[str, Any]) -> RLE:
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}
