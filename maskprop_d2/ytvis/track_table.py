"""Tracks as a table in Parquet files: one row for each frame of each track.

DuckDB, pandas and Polars read it; it holds nothing for frames without the object, where json has a
null for each. Needs the package pyarrow.
"""

import reprlib
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycocotools import mask as coco_mask

from ..errors import AnnotationError, InputError
from ..files import atomic_file
from ..ops.rle import MAX_PIXELS, is_absent, track_to_counts
from .checks import is_id, is_number

if TYPE_CHECKING:
    import pyarrow

COLUMNS = {
    "video": "string",
    "video_id": "int64",
    "num_frames": "int32",
    "height": "int32",
    "width": "int32",
    "track_id": "int64",
    "parent_id": "int64",
    "category_id": "int64",
    "category": "string",
    "score": "float64",
    "frame": "int32",
    "x": "int32",
    "y": "int32",
    "w": "int32",
    "h": "int32",
    "area": "int64",
    "rle": "string",
}
"""Types by names. ``video`` is the address of the video, ``video_id`` its id in a results file: one
of them may be null. ``parent_id`` is the track that divided into this one, null if there is none.
``height`` and ``width`` are those of the frame; ``x``, ``y``, ``w``, ``h`` the box around the mask,
``area`` its pixels and ``rle`` the counts of COCO's compressed RLE. A track without any mask has
one row, with null from ``frame`` on."""
TRACK = ("video", "video_id", "track_id", "category_id")
"""The columns that tell tracks apart. The rows of a track follow each other, by rising frame."""
MAX_FRAMES = 10_000_000
"""Limit of the frames of a video: two days at 60 frames/s."""
ROWS = 50_000
"""Rows that are compressed together, and in memory at a time."""


def write_track_table(
    entries: Iterable[dict[str, Any]], path: Path, *, video: str | None = None
) -> None:
    """Write the entries of a results file, one in memory at a time.

    Args:
        entries: with compressed RLEs, and with ``track_id``, ``category_name`` and ``video`` if
            they are known. Entries of a video without ``track_id`` are numbered.
        path: the file.
        video: the address of the video of all entries, whose ``video_id`` means nothing.

    Raises:
        InputError: if pyarrow is not installed.
    """
    pyarrow = import_pyarrow()
    schema = _schema(pyarrow)
    with (
        atomic_file(path) as partial,
        pyarrow.parquet.ParquetWriter(partial, schema, compression="zstd") as writer,
    ):
        rows: list[tuple[Any, ...]] = []
        for number, entry in enumerate(entries):
            known = {"video": entry.get("video"), "video_id": entry["video_id"]}
            if video is not None:
                known = {"video": video, "video_id": None}
            rows += _rows(entry, known, number)
            if len(rows) >= ROWS:
                writer.write_table(_table(pyarrow, schema, rows))
                rows.clear()
        writer.write_table(_table(pyarrow, schema, rows))


def iterate_track_table(path: str | Path) -> Iterator[dict[str, Any]]:
    """Iterate over the tracks in a Parquet file as entries of a results file, one in memory at a
    time. They have ``video``, ``track_id`` and ``category_name`` too; ``video_id`` may be None.

    Raises:
        AnnotationError: if it is no such file, or the rows of a track do not follow each other.
        InputError: if pyarrow is not installed.
    """
    pyarrow = import_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            missing = sorted(set(COLUMNS) - set(file.schema_arrow.names))
            if missing:
                raise AnnotationError(
                    f"{path} is no table of tracks: it lacks the columns {missing}"
                )
            batches = file.iter_batches(batch_size=ROWS // 10, columns=list(COLUMNS))
            schema = _schema(pyarrow)
            tables = (pyarrow.Table.from_batches([x]).select(COLUMNS) for x in batches)
            rows = (row for table in tables for row in table.cast(schema).to_pylist())
            yield from _entries(rows, path)
    except AnnotationError:
        raise
    # ValueError: text that is not UTF-8.
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AnnotationError(f"{path} cannot be read as Parquet: {reason}") from error


def check_entries(entries: Iterable[Any], path: str | Path) -> Iterator[dict[str, Any]]:
    """The entries of a results file in the form that ``write_track_table`` takes.

    Args:
        entries: what the file holds; masks in any of COCO's formats, but of known size.
        path: the file, for messages.

    Raises:
        AnnotationError: naming the first entry that is wrong.
    """
    for i, entry in enumerate(entries):
        try:
            yield _checked(entry)
        except ValueError as error:
            raise AnnotationError(f"{path}: entry {i}: {error}") from error


def _checked(entry: Any) -> dict[str, Any]:
    """
    Raises:
        ValueError: if the entry is malformed.
    """
    if not isinstance(entry, dict):
        raise ValueError("must be an object")
    for key in ("video_id", "category_id"):
        if not is_id(entry.get(key)) or entry[key] >= 2**63:
            raise ValueError(f"'{key}' must be a whole number, not {reprlib.repr(entry.get(key))}")
    for key in ("track_id", "parent_id"):
        track_id = entry.get(key, 0)
        if not is_id(track_id) or track_id >= 2**63:
            raise ValueError(f"'{key}' must be a whole number, not {reprlib.repr(track_id)}")
    if not is_number(entry.get("score")):
        raise ValueError(f"'score' must be a number, not {reprlib.repr(entry.get('score'))}")
    for key in ("video", "category_name"):
        if not isinstance(entry.get(key, ""), str | None):
            raise ValueError(f"'{key}' must be a string, not {reprlib.repr(entry[key])}")
    masks = entry.get("segmentations")
    if not isinstance(masks, list):
        raise ValueError(f"'segmentations' must be a list, not {reprlib.repr(masks)}")
    size = next((x["size"] for x in masks if isinstance(x, dict) and "size" in x), None)
    if size is None:
        if not all(map(is_absent, masks)):
            raise ValueError("polygons without the size of their frame: use RLEs")
        return {**entry, "segmentations": [None] * len(masks)}
    if not (isinstance(size, list) and len(size) == 2 and all(map(is_id, size))):
        raise ValueError(f"a mask's 'size' must be two numbers, not {reprlib.repr(size)}")
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"a mask of {size[1]} x {size[0]} pixels: the limit is {MAX_PIXELS}")
    counts, _ = track_to_counts(masks, *size)
    rles = [None if x is None else {"size": size, "counts": x.decode()} for x in counts]
    return {**entry, "segmentations": rles}


def _rows(entry: dict[str, Any], video: dict[str, Any], number: int) -> Iterator[tuple[Any, ...]]:
    """The rows of one track, in the order of ``COLUMNS``."""
    masks = entry["segmentations"]
    size = next((mask["size"] for mask in masks if mask), (None, None))
    track = (
        *video.values(),
        *(len(masks), *size),
        *(entry.get("track_id", number), entry.get("parent_id")),
        *(entry["category_id"], entry.get("category_name")),
        float(entry["score"]),
    )
    seen = [(t, mask) for t, mask in enumerate(masks) if mask]
    if not seen:
        yield (*track, *[None] * 7)
    for t, mask in seen:
        box = (round(x) for x in coco_mask.toBbox(mask).tolist())
        yield (*track, t, *box, int(coco_mask.area(mask)), mask["counts"])


def _entries(rows: Iterator[dict[str, Any]], path: str | Path) -> Iterator[dict[str, Any]]:
    video: tuple[Any, ...] | None = None
    seen: set[tuple[Any, ...]] = set()
    for key, track in groupby(rows, key=lambda row: tuple(row[name] for name in TRACK)):
        if key[:2] != video:
            video = key[:2]
            seen.clear()
        if key in seen:
            raise AnnotationError(
                f"{path}: the rows of track {key[2]} of video {_name(key)} do not follow each "
                f"other: sort the table by {', '.join(TRACK)}, frame"
            )
        seen.add(key)
        yield _entry(track, path)


def _entry(rows: Iterator[dict[str, Any]], path: str | Path) -> dict[str, Any]:
    """The entry of one track."""
    first = next(rows)
    where = f"{path}: track {first['track_id']} of video {_name(list(first.values()))}"
    missing = [x for x in ("num_frames", "track_id", "category_id", "score") if first[x] is None]
    if missing:
        raise AnnotationError(f"{where}: {missing[0]} is null")
    if not 0 <= first["num_frames"] <= MAX_FRAMES:
        raise AnnotationError(f"{where}: {first['num_frames']} frames: the limit is {MAX_FRAMES}")
    masks: list[dict[str, Any] | None] = [None] * first["num_frames"]
    previous = -1
    for row in chain([first], rows):
        frame = row["frame"]
        if frame is None:
            continue
        if not previous < frame < len(masks):
            raise AnnotationError(f"{where}: frame {frame} after {previous} of {len(masks)} frames")
        if row["rle"] is None or row["height"] is None or row["width"] is None:
            raise AnnotationError(f"{where}: frame {frame} has no mask, or no size")
        masks[frame] = {"size": [row["height"], row["width"]], "counts": row["rle"]}
        previous = frame
    parent = {} if first["parent_id"] is None else {"parent_id": first["parent_id"]}
    return {
        "video_id": first["video_id"],
        "category_id": first["category_id"],
        "score": first["score"],
        "segmentations": masks,
        "track_id": first["track_id"],
        **parent,
        "category_name": first["category"],
        "video": first["video"],
    }


def _name(key: Any) -> Any:
    """The address of a video, or its id."""
    return key[1] if key[0] is None else key[0]


def _table(pyarrow: Any, schema: "pyarrow.Schema", rows: list[tuple[Any, ...]]) -> "pyarrow.Table":
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    arrays = [pyarrow.array(x, field.type) for x, field in zip(columns, schema, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def _schema(pyarrow: Any) -> "pyarrow.Schema":
    return pyarrow.schema([(name, getattr(pyarrow, type_)()) for name, type_ in COLUMNS.items()])


def import_pyarrow() -> Any:
    """The package pyarrow, with its part for Parquet.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise InputError(
            "Parquet files need pyarrow, which is not installed: pip install 'maskprop-d2[parquet]'"
        ) from error
    return pyarrow
