"""Writing json files in YouTube-VIS's format: what the converters share."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from maskprop_d2.files import atomic_file


def track_fields(rles: list[dict[str, Any] | None]) -> dict[str, list[Any]]:
    """``segmentations``, ``bboxes`` (x, y, width, height) and ``areas`` of a track.

    Args:
        rles: a compressed RLE for each frame, None where the object is not seen.
    """
    return {
        "segmentations": rles,
        "bboxes": [rle and coco_mask.toBbox(rle).tolist() for rle in rles],
        "areas": [rle and int(coco_mask.area(rle)) for rle in rles],
    }


def write_ytvis(
    path: Path,
    videos: list[dict[str, Any]],
    categories: Iterable[str],
    tracks: list[dict[str, Any]],
) -> None:
    """Write a data set, and print what to do with it.

    Args:
        path: the json file.
        videos: entries with ``file_names``, ``height`` and ``width``; their ids are 1, 2, ...
        categories: names; their ids are 1, 2, ...
        tracks: entries with ``video_id``, ``category_id`` and ``track_fields``.
    """
    data = {
        "info": {},
        "videos": [
            {"id": i, "length": len(video["file_names"]), **video}
            for i, video in enumerate(videos, start=1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories, start=1)],
        "annotations": [
            {"id": i, "iscrowd": 0, **track} for i, track in enumerate(tracks, start=1)
        ],
    }
    write_whole({path: data})
    frames = sum(len(video["file_names"]) for video in videos)
    print(
        f"{path} written: {len(videos)} videos, {frames} frames, {len(data['categories'])} "
        f"categories, {len(tracks)} tracks. Next: docs/own_data.md"
    )


def write_whole(files: dict[Path, Any]) -> None:
    """Write json files, all of them or none."""
    with ExitStack() as stack:
        for path, data in files.items():
            partial = stack.enter_context(atomic_file(path))
            with partial.open("w", encoding="utf-8") as file:
                json.dump(data, file)
