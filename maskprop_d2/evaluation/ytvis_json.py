"""Reading and checking files in YouTube-VIS's format: ground truth and results."""

import gzip
import json
from pathlib import Path
from typing import Any

from ..ops.rle import to_rle


class AnnotationError(ValueError):
    """A file that cannot be used; the message says where, and what is wrong."""


def load_json(path: str | Path) -> Any:
    """Read a json file, also a gzipped one.

    Raises:
        AnnotationError: if it cannot be read or is not json.
    """
    try:
        opener = gzip.open if str(path).endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: there is no such file") from error
    except (OSError, EOFError) as error:
        raise AnnotationError(f"{path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is not a whole json file: {error}") from error


def check_ground_truth(data: Any, source: str | Path = "ground truth") -> None:
    """Check all that later steps rely on, but not the masks themselves.

    Args:
        data: a whole annotation file; ``annotations`` may be absent, as for hidden test sets.
        source: its name, for messages.

    Raises:
        AnnotationError: naming the first entry that is wrong.
    """
    if not isinstance(data, dict):
        raise AnnotationError(f"{source}: must be an object with 'videos' and 'categories'")
    videos = _by_id(data.get("videos"), "videos", source)
    for video_id, video in videos.items():
        names = video.get("file_names")
        if not isinstance(names, list) or not all(isinstance(x, str) for x in names) or not names:
            raise AnnotationError(f"{source}: video {video_id} needs a list of 'file_names'")
        for key in ("height", "width"):
            if type(video.get(key)) is not int or not 0 < video[key] < 2**15:
                raise AnnotationError(
                    f"{source}: video {video_id} needs '{key}', a number of pixels, "
                    f"not {video.get(key)!r}"
                )
    categories = _by_id(data.get("categories"), "categories", source)
    for category_id, category in categories.items():
        if not isinstance(category.get("name"), str):
            raise AnnotationError(f"{source}: category {category_id} needs a 'name'")
    annotations = data.get("annotations")
    for annotation_id, annotation in _by_id(annotations or [], "annotations", source).items():
        where = f"{source}: annotation {annotation_id}"
        _check_track(annotation, videos, categories, where)
        areas = annotation.get("areas")
        if areas is not None and (
            not isinstance(areas, list) or not all(x is None or _is_number(x) for x in areas)
        ):
            raise AnnotationError(f"{where}: 'areas' must hold a number or null for each frame")


def check_results(
    results: Any, ground_truth: dict[str, Any], source: str | Path = "results"
) -> None:
    """Check all entries of a results file against a checked ground truth.

    Raises:
        AnnotationError: naming the first entry that is wrong, and how many are.
    """
    if not isinstance(results, list):
        raise AnnotationError(f"{source}: must be a list of predicted tracks")
    videos = {video["id"]: video for video in ground_truth["videos"]}
    categories = {category["id"]: category for category in ground_truth["categories"]}
    errors = []
    for i, result in enumerate(results):
        try:
            where = f"{source}: entry {i}"
            if not isinstance(result, dict):
                raise AnnotationError(f"{where} must be an object")
            _check_track(result, videos, categories, where)
            if not _is_number(result.get("score")):
                raise AnnotationError(f"{where}: 'score' must be a number")
        except AnnotationError as error:
            errors.append(error)
    if len(errors) > 1:
        raise AnnotationError(f"{errors[0]} (and {len(errors) - 1} more entries are wrong)")
    if errors:
        raise errors[0]


def frame_rles(track: dict[str, Any], video: dict[str, Any], where: str) -> list[Any]:
    """The masks of a checked track as RLEs, None where there is none.

    Raises:
        AnnotationError: naming the first mask that is wrong.
    """
    rles = []
    for t, segmentation in enumerate(track["segmentations"]):
        try:
            rles.append(
                None
                if segmentation is None
                else to_rle(segmentation, video["height"], video["width"])
            )
        except ValueError as error:
            raise AnnotationError(f"{where}, frame {t}: {error}") from error
    return rles


def _by_id(entries: Any, key: str, source: str | Path) -> dict[int, dict[str, Any]]:
    """Entries by their ids, which must be whole numbers and unique."""
    if not isinstance(entries, list):
        raise AnnotationError(f"{source}: '{key}' must be a list")
    by_id: dict[int, dict[str, Any]] = {}
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or type(entry.get("id")) is not int:
            raise AnnotationError(f"{source}: entry {i} of '{key}' needs a whole number as 'id'")
        if entry["id"] in by_id:
            raise AnnotationError(f"{source}: two entries of '{key}' have the id {entry['id']}")
        by_id[entry["id"]] = entry
    return by_id


def _check_track(
    track: dict[str, Any],
    videos: dict[int, dict[str, Any]],
    categories: dict[int, dict[str, Any]],
    where: str,
) -> None:
    """What annotations and predictions have in common."""
    for key, known in (("video_id", videos), ("category_id", categories)):
        if type(track.get(key)) is not int or track[key] not in known:
            raise AnnotationError(f"{where}: unknown '{key}' {track.get(key)!r}")
    length = len(videos[track["video_id"]]["file_names"])
    segmentations = track.get("segmentations")
    if not isinstance(segmentations, list) or len(segmentations) != length:
        has = len(segmentations) if isinstance(segmentations, list) else "none"
        raise AnnotationError(
            f"{where}: 'segmentations' must have one entry (a mask or null) for each of the "
            f"{length} frames of video {track['video_id']}, but has {has}"
        )


def _is_number(value: Any) -> bool:
    # Comparing, unlike isfinite, copes with whole numbers of any length.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
