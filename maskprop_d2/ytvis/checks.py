"""The rules of the annotation format: what every reader relies on."""

import reprlib
from collections.abc import Generator, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from ..errors import AnnotationError
from ..ops.rle import MAX_PIXELS, MAX_SIDE
from .problems import Problem

Finding = tuple[Problem, str]  # A problem, and a text with the entry and what is wrong with it.


def check_ground_truth(data: Any, source: str | Path = "ground truth") -> None:
    """Check an annotation file, except for its masks, which are checked when they are decoded.

    Args:
        data: the content; ``annotations`` may be absent, as in hidden test sets.
        source: its name, for the message.

    Raises:
        AnnotationError: naming the first entry that is wrong.
    """
    for _, text in find_errors(data):
        raise AnnotationError(f"{source}: {text}")


def find_errors(data: Any) -> Iterator[Finding]:
    """All fatal problems of an annotation file, except for its masks and frames."""
    if not isinstance(data, dict):
        yield Problem.NO_LIST, "must be an object with 'videos' and 'categories'"
        return
    videos = yield from _index(data, "videos", Problem.BAD_VIDEO)
    categories = yield from _index(data, "categories", Problem.BAD_CATEGORY)
    for video in videos.values():
        yield from _video_errors(video)
    id_of_name: dict[str, int] = {}
    for category_id, category in categories.items():
        name = category.get("name")
        if not isinstance(name, str):
            yield Problem.BAD_CATEGORY, f"category {category_id} needs a 'name'"
        elif id_of_name.setdefault(name, category_id) != category_id:
            both = f"categories {id_of_name[name]} and {category_id}"
            yield Problem.NAME_TWICE, f"{both} have the same name, {reprlib.repr(name)}"
    if data.get("annotations") is not None:
        tracks = yield from _index(data, "annotations", Problem.BAD_TRACK)
        lengths = {id_: len(video["file_names"]) for id_, video in usable_videos(data).items()}
        for track in tracks.values():
            yield from _track_errors(track, videos, categories, lengths)


def usable_videos(data: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The videos without an error, by id."""
    videos: dict[int, dict[str, Any]] = {}
    entries = data.get("videos")
    for video in entries if isinstance(entries, list) else []:
        if _has_id(video) and not any(_video_errors(video)):
            videos.setdefault(video["id"], video)
    return videos


def _index(
    data: dict[str, Any], key: str, problem: Problem
) -> Generator[Finding, None, dict[int, dict[str, Any]]]:
    """Yield what is wrong with the ids of a list; return the entries by id."""
    entries = data.get(key)
    if not isinstance(entries, list):
        yield Problem.NO_LIST, f"'{key}' must be a list"
        return {}
    by_id: dict[int, dict[str, Any]] = {}
    for i, entry in enumerate(entries):
        if not _has_id(entry):
            yield problem, f"entry {i} of '{key}' needs an 'id', a non-negative integer"
        elif entry["id"] in by_id:
            yield Problem.ID_TWICE, f"two entries of '{key}' have the id {entry['id']}"
        else:
            by_id[entry["id"]] = entry
    return by_id


def _video_errors(video: dict[str, Any]) -> Iterator[Finding]:
    where = f"video {video['id']}"
    names = video.get("file_names")
    size: list[Any] = [video.get("height"), video.get("width")]
    if not isinstance(names, list) or not names or not all(isinstance(x, str) for x in names):
        yield Problem.BAD_VIDEO, f"{where} needs 'file_names', a list of its frames"
    elif not all(type(x) is int and 0 < x < MAX_SIDE for x in size):
        text = f"'height' and 'width', 1 to {MAX_SIDE - 1} pixels each, not {reprlib.repr(size)}"
        yield Problem.BAD_VIDEO, f"{where} needs {text}"
    elif size[0] * size[1] > MAX_PIXELS:
        text = f"{size[1]} x {size[0]} pixels a frame: the limit is {MAX_PIXELS}"
        yield Problem.BAD_VIDEO, f"{where} has {text}"


def _track_errors(
    track: dict[str, Any],
    videos: dict[int, dict[str, Any]],
    categories: dict[int, dict[str, Any]],
    lengths: dict[int, int],
) -> Iterator[Finding]:
    where = f"annotation {track['id']}"
    video_id, category_id = track.get("video_id"), track.get("category_id")
    if not is_id(category_id) or category_id not in categories:
        text = f"{where}: unknown 'category_id' {reprlib.repr(category_id)}"
        yield Problem.UNKNOWN_CATEGORY, text
    areas = track.get("areas")
    if areas is not None and not (isinstance(areas, list) and all(map(_is_area, areas))):
        text = f"{where}: 'areas' must hold a number of pixels or null for each frame"
        yield Problem.BAD_AREAS, text
    if track.get("iscrowd", 0) not in (0, 1):
        yield Problem.BAD_CROWD, f"{where}: 'iscrowd' must be 0 or 1"
    masks = track.get("segmentations")
    if not is_id(video_id) or video_id not in videos:
        yield Problem.UNKNOWN_VIDEO, f"{where}: unknown 'video_id' {reprlib.repr(video_id)}"
    elif not isinstance(masks, list):
        text = f"{where}: 'segmentations' must be a list with a mask or null for each frame"
        yield Problem.BAD_TRACK, text
    elif len(masks) != lengths.get(video_id, len(masks)):
        text = f"{len(masks)} masks or nulls, but video {video_id} has {lengths[video_id]} frames"
        yield Problem.TRACK_LENGTH, f"{where}: 'segmentations' has {text}"


def escapes_folder(name: str) -> bool:
    """Whether a frame's file name points outside the image folder, without following links."""
    path = PureWindowsPath(name)  # Knows both kinds of slashes.
    return bool(path.anchor) or ".." in path.parts or "\0" in name


def is_id(value: Any) -> bool:
    """Whether a value is a non-negative integer."""
    return type(value) is int and value >= 0


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e308 < value < 1e308


def _has_id(entry: Any) -> bool:
    return isinstance(entry, dict) and is_id(entry.get("id"))


def _is_area(value: Any) -> bool:
    return value is None or (is_number(value) and value >= 0)
