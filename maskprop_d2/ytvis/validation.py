"""Finding everything in a dataset that breaks or biases training."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..errors import MaskSizeError, VideoError
from ..ops.rle import compress_tracks
from ..video.frame_files import natural_sort
from ..video.images import image_size
from .checks import Finding, escapes_folder, find_errors, is_id, is_number, usable_videos
from .problems import FEW_PIXELS, Problem

# Tools round areas and boxes differently: areas may differ by this share plus this many pixels,
# the sides of boxes by this many pixels.
AREA_TOLERANCE, AREA_SLACK = 0.1, 16
BOX_TOLERANCE = 2
THREADS = 16


def find_problems(data: dict[str, Any]) -> Iterator[Finding]:
    """All problems of an annotation file, except for those of its images."""
    yield from find_errors(data)
    videos = usable_videos(data)
    yield from _frame_list_problems(videos.values())
    tracks = _objects(data.get("annotations"))
    if not tracks:
        yield Problem.NO_ANNOTATION, "'annotations' is absent or empty"
        return
    for track in tracks:
        video_id: Any = track.get("video_id")
        masks = track.get("segmentations")
        video = videos.get(video_id) if is_id(video_id) else None
        if video and isinstance(masks, list) and len(masks) == len(video["file_names"]):
            yield from _mask_problems(track, video)
    for problem, key, name in (
        (Problem.NO_TRACK, "videos", "video"),
        (Problem.UNUSED_CATEGORY, "categories", "category"),
    ):
        used = {x[f"{name}_id"] for x in tracks if is_id(x.get(f"{name}_id"))}
        entries = {x["id"]: x for x in _objects(data.get(key)) if is_id(x.get("id"))}
        for id_ in sorted(entries.keys() - used):
            label = f": {entries[id_]['name']!r}" if "name" in entries[id_] else ""
            yield problem, f"{name} {id_}{label}"


def find_frame_problems(videos: Iterable[dict[str, Any]], folder: Path) -> Iterator[Finding | None]:
    """Check that the frames are there and have the size that the annotation file says. Only the
    headers of the images are read.

    Args:
        videos: those of ``usable_videos``.
        folder: the image folder, which ``file_names`` are relative to.

    Yields:
        a problem or None for each frame.
    """

    def check(frame: tuple[dict[str, Any], int, str]) -> Finding | None:
        video, t, name = frame
        if escapes_folder(name):
            return None  # Reported with the annotation file.
        where = f"video {video['id']}, frame {t}: {folder / name}"
        try:
            height, width = image_size(folder / name)
        except VideoError:
            if (folder / name).is_file():
                return Problem.BAD_FRAME, where
            return Problem.MISSING_FRAME, where
        if (height, width) == (video["height"], video["width"]):
            return None
        text = f"has {width} x {height}, not {video['width']} x {video['height']}"
        return Problem.FRAME_SIZE, f"{where} {text}"

    frames = [(video, t, name) for video in videos for t, name in enumerate(video["file_names"])]
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(check, frames)


def _objects(entries: Any) -> list[dict[str, Any]]:
    return [x for x in entries if isinstance(x, dict)] if isinstance(entries, list) else []


def _frame_list_problems(videos: Iterable[dict[str, Any]]) -> Iterator[Finding]:
    first_use: dict[str, str] = {}
    for video in videos:
        names = video["file_names"]
        for t, name in enumerate(names):
            where = f"video {video['id']}, frame {t}"
            if escapes_folder(name):
                yield Problem.OUTSIDE_ROOT, f"{where}: {name}"
            if first_use.setdefault(name, where) != where:
                yield Problem.FRAME_TWICE, f"{first_use[name]} and {where}: {name}"
        if names != natural_sort(names):
            yield Problem.FRAME_ORDER, f"video {video['id']}"
        length = video.get("length", len(names))
        if length != len(names):
            yield Problem.VIDEO_LENGTH, f"video {video['id']}: {length!r} for {len(names)} frames"


def _mask_problems(track: dict[str, Any], video: dict[str, Any]) -> Iterator[Finding]:
    where = f"annotation {track.get('id')}, video {video['id']}"
    height, width = video["height"], video["width"]
    masks = track["segmentations"]
    counts, areas, errors = compress_tracks([(masks, height, width)])[0]
    stated = {}
    for key, problem in (("areas", Problem.WRONG_AREA), ("bboxes", Problem.WRONG_BOX)):
        values = track.get(key)
        if isinstance(values, list) and len(values) == len(masks):
            stated[key] = values
        elif values is not None:
            yield problem, f"{where}: '{key}' must be a list with an entry for each frame"
    for t, (mask, text) in enumerate(zip(masks, counts, strict=True)):
        here = f"{where}, frame {t}"
        if t in errors:
            is_size = isinstance(errors[t], MaskSizeError)
            yield Problem.MASK_SIZE if is_size else Problem.BAD_MASK, f"{here}: {errors[t]}"
            continue
        area = int(areas[t])
        stated_area = stated["areas"][t] or 0 if "areas" in stated else area
        # Other values than numbers are errors of their own.
        if is_number(stated_area) and abs(stated_area - area) > AREA_SLACK + AREA_TOLERANCE * area:
            yield Problem.WRONG_AREA, f"{here}: {stated['areas'][t]} instead of {area}"
        if text is None:
            continue
        if area == 0:
            yield Problem.EMPTY_MASK, here
            continue
        if area < FEW_PIXELS:
            yield Problem.FEW_PIXELS, f"{here}: {area}"
        points = [np.reshape(x, (-1, 2)) for x in mask] if isinstance(mask, list) else []
        if any((x < -1).any() or (x > (width + 1, height + 1)).any() for x in points):
            yield Problem.MASK_OUTSIDE, here
        box = coco_mask.toBbox({"size": [height, width], "counts": text}).tolist()
        if "bboxes" in stated and not _is_close(stated["bboxes"][t], box):
            yield Problem.WRONG_BOX, f"{here}: {stated['bboxes'][t]} instead of {box}"
    if not errors and not areas.any():
        yield Problem.EMPTY_TRACK, where


def _is_close(value: Any, box: list[float]) -> bool:
    """Whether ``value`` is, within the tolerance, the box (x, y, width, height)."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        return False
    corners, expected = ([x, y, x + width, y + height] for x, y, width, height in (value, box))
    return all(abs(a - b) <= BOX_TOLERANCE for a, b in zip(corners, expected, strict=True))
