"""Writing annotation and results files."""

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from ..files import atomic_file
from ..structures import VideoTrack


def tracks_to_results(
    video_id: int, output: dict[str, Any], to_dataset_id: dict[int, int]
) -> list[dict[str, Any]]:
    """Entries of a results file from ``VideoTracks.as_dict()`` of a video. ``to_dataset_id`` maps
    category indices to the dataset's own category ids. If tracks have divided, the entries have ids
    and those of parents as in ``track_entries``."""
    keys = ("video_id", "category_id", "score", "segmentations")
    labels = [to_dataset_id[label] for label in output["pred_labels"]]
    tracks = zip(labels, output["pred_scores"], output["pred_masks"], strict=True)
    entries = [dict(zip(keys, (video_id, *track), strict=True)) for track in tracks]
    # Outputs of other models have no such lists.
    parent_ids = output.get("parent_ids", [])
    if any(parent_id is not None for parent_id in parent_ids):
        for entry, track_id, parent_id in zip(
            entries, output["track_ids"], parent_ids, strict=True
        ):
            entry["track_id"] = track_id
            if parent_id is not None:
                entry["parent_id"] = parent_id
    return entries


def track_entries(
    tracks: Iterable[VideoTrack], class_names: Sequence[str], category_ids: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Entries of a results file, one at a time, from the tracks of a video. ``class_names`` and
    ``category_ids`` are those of the tracks' labels. A track that started when another one divided
    has a ``parent_id``."""
    for track in tracks:
        parent = {} if track.parent_id is None else {"parent_id": track.parent_id}
        yield {
            "video_id": 1,
            "category_id": category_ids[track.label],
            "score": track.score,
            "segmentations": track.masks,
            "track_id": track.track_id,
            "category_name": class_names[track.label],
            **parent,
        }


def write_results(entries: Iterable[dict[str, Any]], path: Path, archive: bool = False) -> None:
    """Write a json results file, one entry in memory at a time, and if ``archive``, a ``.zip`` next
    to it, as evaluation servers take it. On errors no file is left."""
    with atomic_file(path) as json_file:
        with json_file.open("w") as file:
            file.write("[")
            for i, entry in enumerate(entries):
                file.write(",\n" if i else "")
                file.write(json.dumps(entry))
            file.write("]")
        if archive:
            with (
                atomic_file(path.with_suffix(".zip")) as zip_file,
                zipfile.ZipFile(zip_file, "w", zipfile.ZIP_DEFLATED) as zipped,
            ):
                zipped.write(json_file, path.name)


def track_fields(rles: list[dict[str, Any] | None]) -> dict[str, list[Any]]:
    """``segmentations``, ``bboxes`` (x, y, width, height) and ``areas`` of an annotation.

    Args:
        rles: a compressed RLE for each frame, None where the object is not seen.
    """
    return {
        "segmentations": rles,
        "bboxes": [rle and coco_mask.toBbox(rle).tolist() for rle in rles],
        "areas": [rle and int(coco_mask.area(rle)) for rle in rles],
    }


def write_annotations(
    path: Path,
    videos: list[dict[str, Any]],
    categories: Iterable[str],
    tracks: list[dict[str, Any]],
) -> str:
    """Write an annotation file.

    Args:
        path: the json file.
        videos: entries with ``file_names``, ``height`` and ``width``; their ids are 1, 2, ...
        categories: names; their ids are 1, 2, ...
        tracks: entries with ``video_id``, ``category_id`` and ``track_fields``.

    Returns:
        a line for the user: what was written, and where to read on.
    """
    lengths = [len(video["file_names"]) for video in videos]
    data = {
        "info": {},
        "videos": [
            {"id": i, "length": length, **video}
            for i, (length, video) in enumerate(zip(lengths, videos, strict=True), start=1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories, start=1)],
        "annotations": [{"id": i, "iscrowd": 0, **x} for i, x in enumerate(tracks, start=1)],
    }
    write_json_files({path: data})
    return (
        f"Wrote {path}: {len(videos)} videos, {sum(lengths)} frames, {len(data['categories'])} "
        f"categories, {len(tracks)} tracks. Next: docs/own_data.md"
    )


def write_json_files(files: dict[Path, Any]) -> None:
    """Write all of some json files, or none on errors."""
    with ExitStack() as stack:
        for path, data in files.items():
            partial = stack.enter_context(atomic_file(path))
            with partial.open("w", encoding="utf-8") as file:
                json.dump(data, file)
