"""YouTube-VIS annotation and results files as input for annotation tools."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import AnnotationError
from ..ops.rle import track_to_counts
from ..ytvis import check_ground_truth, load_json
from ..ytvis.track_table import check_entries
from .tracks import ToolAnnotations, ToolTrack, ToolVideo, group_frames, list_frames

RESULTS_SUFFIX = re.compile(r"(_tracks(_\d+)?)?\.json(\.gz)?$")
"""What ``maskprop track`` adds to the name of a video."""


def read_ytvis(
    path: Path, annotations: Path | None = None, frames: Path | None = None, min_score: float = 0
) -> ToolAnnotations:
    """Read tracks.

    Args:
        path: an annotation file, or a results file, as ``maskprop track`` writes it.
        annotations: the annotation file with the videos and categories of a results file.
        frames: without ``annotations``, the folder of the frames of a results file, as for
            ``list_frames``.
        min_score: drop predicted tracks scored below this.

    Raises:
        AnnotationError: if a file cannot be used.
    """
    data = load_json(path)
    if isinstance(data, dict):
        return _read_annotations(data, path)
    if not isinstance(data, list):
        raise AnnotationError(f"{path}: must be an annotation file or a list of predicted tracks")
    entries = [x for x in check_entries(data, path) if x["score"] >= min_score]
    entries = [x for x in entries if any(x["segmentations"])]
    if annotations is None:
        return _read_results(entries, path, frames)
    truth = load_json(annotations)
    if not isinstance(truth, dict):
        raise AnnotationError(f"{annotations}: must be an object with 'videos' and 'categories'")
    return _read_annotations({**truth, "annotations": []}, annotations, entries, path)


def _read_annotations(
    data: dict[str, Any],
    path: Path,
    entries: list[dict[str, Any]] | None = None,
    entries_path: Path | None = None,
) -> ToolAnnotations:
    """The tracks of an annotation file, or the entries of a results file for its videos."""
    check_ground_truth(data, path)
    categories = {x["id"]: x["name"] for x in sorted(data["categories"], key=lambda x: x["id"])}
    videos: dict[int, ToolVideo] = {}
    folders: Counter[str] = Counter()
    for video in data["videos"]:
        size, names = (video["height"], video["width"]), video["file_names"]
        folder, *others = group_frames(names)
        if others:
            raise AnnotationError(f"{path}: video {video['id']} has frames in several folders")
        folders[folder] += 1
        name = f"video_{video['id']}" if folder == "." else folder
        videos[video["id"]] = ToolVideo(name, size, names)
    for folder, number in folders.items():
        if number > 1:
            raise AnnotationError(
                f"{path}: {number} videos have their frames in the folder {folder}: tools know "
                "videos by their folders"
            )
    notes: Counter[str] = Counter()
    for i, entry in enumerate(data.get("annotations") or [] if entries is None else entries):
        where = f"{entries_path or path}: entry {i}"
        video, category = videos.get(entry["video_id"]), categories.get(entry["category_id"])
        if video is None or category is None:
            raise AnnotationError(f"{where}: its video or category is not in {path}")
        if entry.get("iscrowd"):
            notes["groups of objects (iscrowd) were left out"] += 1
            continue
        if len(entry["segmentations"]) != len(video.file_names):
            raise AnnotationError(
                f"{where}: {len(entry['segmentations'])} masks or nulls for the "
                f"{len(video.file_names)} frames of video {video.name}"
            )
        _add_track(video, category, entry["segmentations"], where)
    return ToolAnnotations(list(categories.values()), list(videos.values()), notes)


def _read_results(
    entries: list[dict[str, Any]], path: Path, frames: Path | None
) -> ToolAnnotations:
    categories: dict[int, str] = {}
    videos: dict[Any, ToolVideo] = {}
    keys = {(x["video_id"], x.get("video")) for x in entries}
    for i, entry in enumerate(entries):
        where, masks = f"{path}: track {i}", entry["segmentations"]
        category = entry.get("category_name")
        if not category or categories.setdefault(entry["category_id"], category) != category:
            raise AnnotationError(
                f"{where} has no name of its category: name the file that does with --annotations"
            )
        size = tuple(next(x["size"] for x in masks if x))
        key = entry["video_id"], entry.get("video")
        if key not in videos:
            given = entry.get("video")
            stem = Path(given).stem if given else RESULTS_SUFFIX.sub("", path.name)
            folder = stem if len(keys) == 1 or entry.get("video") else f"{stem}_{key[0]}"
            names = list_frames(frames, folder, len(masks))
            videos[key] = ToolVideo(folder, size, names)
        video = videos[key]
        if (len(masks), size) != (len(video.file_names), video.size):
            raise AnnotationError(f"{where}: another number or size of frames than in track 0")
        _add_track(video, category, masks, where)
    if not entries:
        raise AnnotationError(f"{path}: no track has a mask")
    names = [categories[x] for x in sorted(categories)]
    return ToolAnnotations(list(dict.fromkeys(names)), list(videos.values()))


def _add_track(video: ToolVideo, category: str, masks: list[Any], where: str) -> None:
    size = video.size
    try:
        counts, areas = track_to_counts(masks, *size)
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error
    track = ToolTrack(category)
    for t, (text, area) in enumerate(zip(counts, areas, strict=True)):
        if text is not None and area:
            track.masks[t] = {"size": list(size), "counts": text.decode()}
    video.tracks[len(video.tracks) + 1] = track
