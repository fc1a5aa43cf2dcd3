"""Reading the tracks of a run, a results file or Parquet files, and writing one of the others."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import AnnotationError, InputError
from ..files import atomic_folder
from ..ytvis import check_ground_truth, iterate_json
from ..ytvis.track_table import check_entries, iterate_track_table, write_track_table
from ..ytvis.writing import write_results
from .copies import LocalCopies
from .inputs import is_address
from .settings import RECORD
from .storage import LAST_FILE, RESULTS, TABLE, OutputFolder, open_output, video_folder

ROWS_PER_FILE = 2_000_000
"""Rows in each file of a folder of Parquet files: some hundred MB."""


def read_tracks(source: str) -> Iterator[dict[str, Any]]:
    """Iterate over tracks as entries of a results file, with one in memory at a time. Those of a
    run and of Parquet files have ``video``, the address of the video.

    Args:
        source: the output folder of ``maskprop run``, also at an address; a results file (.json,
            .json.gz); a Parquet file; or a folder of Parquet files.

    Raises:
        InputError: if it is none of these, or damaged.
    """
    path = Path(source)
    if is_address(source) or (path / RECORD).is_file():
        yield from _read_run(open_output(source))
    elif path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        if not files:
            raise InputError(
                f"{path} is no output folder of maskprop run, and has no .parquet file"
            )
        for file in files:
            yield from iterate_track_table(file)
    elif source.endswith((".json", ".json.gz")):
        yield from check_entries(iterate_json(path), path)
    else:
        yield from iterate_track_table(path)


def write_tracks(entries: Iterable[dict[str, Any]], output: Path) -> None:
    """Write tracks.

    Args:
        entries: from ``read_tracks``.
        output: a results file (.json), a Parquet file (.parquet), or a folder for Parquet files.

    Raises:
        InputError: if the name is of another kind.
    """
    if output.suffix == ".json":
        write_results(number_videos(entries), output)
    elif output.suffix == ".parquet":
        write_track_table(entries, output)
    elif not output.suffix:
        others = [x.name for x in output.glob("*") if x.suffix != ".parquet"]
        if others:
            raise InputError(f"--output {output} would be replaced, but holds {others[0]}")
        with atomic_folder(output) as partial:
            for i, part in enumerate(_split(entries)):
                write_track_table(part, partial / f"part-{i:05d}.parquet")
    else:
        raise InputError(f"--output {output}: must end in .json or .parquet, or be a folder")


def number_videos(entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Entries with ids for the videos that have none: 1, 2, ... in their order."""
    ids: dict[str, int] = {}
    for entry in entries:
        if entry["video_id"] is None:
            entry = {**entry, "video_id": ids.setdefault(entry["video"], len(ids) + 1)}
        yield entry


class AnnotationIds:
    """Gives tracks the ids of the videos and categories of an annotation file.

    A video is known by its name: a video file ``d/v1.mp4`` or a folder ``d/v1`` belongs to the
    entry with the frames ``v1/00000.jpg``, ``v1/00001.jpg``, .... Categories are known by name.
    Tracks of a results file that has no names of videos or categories keep their ids.

    Attributes:
        dropped: the numbers of dropped tracks, by what is not in the file.
    """

    def __init__(self, annotations: Any, path: str | Path):
        """
        Args:
            annotations: the content of the file.
            path: its name, for messages.

        Raises:
            AnnotationError: if it is malformed.
        """
        check_ground_truth(annotations, path)
        self._path = path
        self._videos = {
            str(PurePosixPath(video["file_names"][0]).parent): video["id"]
            for video in annotations["videos"]
        }
        self._video_ids = set(self._videos.values())
        self._categories = {x["name"].lower(): x["id"] for x in annotations["categories"]}
        self.dropped: Counter[str] = Counter()

    def apply(self, entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The entries with these ids, without those of other videos and categories.

        Raises:
            AnnotationError: at the end, if none is left.
        """
        kept = 0
        for entry in entries:
            video, category = self._video_id(entry), self._category_id(entry)
            if video is None:
                self.dropped["videos"] += 1
            elif category is None:
                self.dropped["categories"] += 1
            else:
                kept += 1
                yield {**entry, "video_id": video, "category_id": category}
        if self.dropped and not kept:
            raise AnnotationError(
                f"{self._path} has none of the videos or none of the categories of the tracks: its "
                f"videos are {_some(self._videos)}; its categories are {_some(self._categories)}"
            )

    def _category_id(self, entry: dict[str, Any]) -> int | None:
        if name := entry.get("category_name"):
            return self._categories.get(name.lower())
        known = entry["category_id"] in self._categories.values()
        return entry["category_id"] if known else None

    def _video_id(self, entry: dict[str, Any]) -> int | None:
        if not entry.get("video"):
            return entry["video_id"] if entry["video_id"] in self._video_ids else None
        path = PurePosixPath(entry["video"])
        for parts in (path.parts, path.with_suffix("").parts if path.name else ()):
            for i in range(len(parts)):
                found = self._videos.get("/".join(parts[i:]))
                if found is not None:
                    return found
        return None


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


def _read_run(output: OutputFolder) -> Iterator[dict[str, Any]]:
    """The tracks of all finished videos, sorted by the names of their folders."""
    record = output.read_json(RECORD)
    if record is None:
        raise InputError(f"{output.address} is no output folder of maskprop run")
    has_table = "parquet" in record["settings"]["formats"]
    for name in sorted(output.finished(), key=video_folder):
        folder = f"{output.address}/{video_folder(name)}"
        with LocalCopies() as copies:
            if has_table:
                yield from iterate_track_table(copies.open(f"{folder}/{TABLE}"))
                continue
            video = output.read_json(f"{video_folder(name)}/{LAST_FILE}")["video"]
            for entry in iterate_json(copies.open(f"{folder}/{RESULTS}")):
                yield {**entry, "video": video, "video_id": None}


def _split(entries: Iterable[dict[str, Any]]) -> Iterator[Iterator[dict[str, Any]]]:
    """Groups of entries with about ``ROWS_PER_FILE`` rows each; at least one."""
    rows = number = 0

    def part(entry: dict[str, Any]) -> int:
        nonlocal rows, number
        if rows >= ROWS_PER_FILE:
            rows, number = 0, number + 1
        rows += sum(mask is not None for mask in entry["segmentations"])
        return number

    groups = (group for _, group in groupby(entries, part))
    return chain([next(groups, iter(()))], groups)
