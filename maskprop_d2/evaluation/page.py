"""An HTML page of results: figures, plots, and the videos with their masks.

The page is a folder that a browser opens from the disk, without a server. Its data are scripts,
since such a page may not read other files: ``data/summary.js`` holds the figures and an entry for
each video, ``data/video_<id>.js`` the masks of a video, loaded when the video is opened. Frames
are not copied: the page refers to them by relative paths.
"""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from ..errors import AnnotationError
from ..files import atomic_folder
from ..ytvis import iterate_json, load_json
from ..ytvis.checks import escapes_folder
from .diagnosis import diagnose
from .hota_figures import hota_measures
from .identity import identity_measures
from .matching import IOU_THRESHOLDS
from .per_video import ap_gains
from .predictions import read_tracks
from .timeline import FALSE, FOUND, MISSED, WRONG_CATEGORY, Line, video_timeline
from .tracks import Track, Video, best_by_category
from .video_ap import Metrics, score_tracks

FILES = Path(__file__).parent / "page_files"
THRESHOLD_WITHOUT_TRUTH = 0.3


def write_page(
    ground_truth: Path,
    results: Path,
    images: Path,
    output: Path,
    score_threshold: float | None = None,
    processes: int = 1,
    *,
    diagnosis: bool = False,
) -> None:
    """Score the results and write the page. On errors nothing is written.

    Args:
        ground_truth: annotation file. Without annotations in it, the page shows only predictions.
        results: results file.
        images: the folder that ``file_names`` are relative to.
        output: the folder to write; an earlier page in it is replaced.
        score_threshold: hide predictions scored below this (default: the threshold with the best
            IDF1). The figures count all predictions.
        processes: as for ``evaluate``.
        diagnosis: show what costs AP, too (see ``diagnosis.py``).

    Raises:
        AnnotationError: if a file cannot be used, a frame is missing, or ``output`` holds
            something else than a page.
    """
    output = Path(os.path.abspath(output))
    _check_output(output)
    truth = load_json(ground_truth)
    videos = read_tracks(truth, iterate_json(results), (ground_truth, results))
    entries = {x["id"]: x for x in truth["videos"]}
    _check_frames(images, entries.values())
    categories = {x["id"]: x["name"] for x in truth["categories"]}

    figures, threshold = None, THRESHOLD_WITHOUT_TRUTH
    gains, pairs = {}, {}
    if truth.get("annotations"):
        metrics = score_tracks(videos, categories, identity=True, hota=True, processes=processes)
        pairs = {x.video_id: x.frame_pairs for x in metrics.videos}
        identity = identity_measures(x for video in pairs.values() for x in video.values())
        figures, gains = _figures(metrics, identity), ap_gains(metrics)
        threshold = identity["score_threshold"] or 0.0
        if diagnosis:
            found = diagnose(videos, list(categories), processes)
            worst = {kind: list(by_video) for kind, by_video in found.worst.items()}
            figures.update(lost=found.lost, worst=worst)
    if score_threshold is not None:
        threshold = score_threshold

    with atomic_folder(output) as folder:
        shutil.copytree(FILES, folder, dirs_exist_ok=True)
        (folder / "data").mkdir()
        rows = []
        for video in tqdm(videos, desc="page", unit="video", disable=None):
            entry = entries[video.id]
            predictions = shown_predictions(video, threshold)
            lines = video_timeline(video, predictions, pairs.get(video.id), threshold)
            paths = [os.path.relpath(images / x, output) for x in entry["file_names"]]
            data = _video_data(video, predictions, lines)
            data["frames"] = [quote(os.fsencode(x)) for x in paths]
            _write_call(folder / f"data/video_{video.id}.js", "receiveVideo", data)
            row = _video_row(video, *lines)
            row["categories"] = sorted({x.category_id for x in [*video.truth, *predictions]})
            rows.append({**row, "name": video_name(entry), "gain": gains.get(video.id)})
        # Without gains they stay sorted by id.
        rows.sort(key=lambda x: -(x["gain"] or 0))
        summary = {
            "sources": [ground_truth.name, results.name],
            "categories": categories,
            "score_threshold": threshold,
            "scored": figures,
            "videos": rows,
        }
        _write_call(folder / "data/summary.js", "receiveSummary", summary)


def shown_predictions(video: Video, threshold: float) -> list[Track]:
    """The predictions that count and reach the score threshold, by falling score."""
    best = [x for tracks in best_by_category(video.predictions).values() for x in tracks]
    return sorted((x for x in best if x.score >= threshold), key=lambda x: -x.score)


def video_name(entry: dict[str, Any]) -> str:
    """The folder of a video's frames; its id if they lie in no folder or in several."""
    folders = {str(PurePosixPath(x).parent) for x in entry["file_names"]}
    folder = folders.pop()
    return folder if not folders and folder != "." else str(entry["id"])


def _figures(metrics: Metrics, identity: dict[str, Any]) -> dict[str, Any]:
    figures = metrics.as_dict()
    overall, by_category = metrics.by_threshold()
    rows = [
        {"id": category_id, "AP": figures.pop(f"AP-{name}"), "by_threshold": curve}
        for (category_id, name), curve in zip(metrics.categories.items(), by_category, strict=True)
    ]
    tracking = hota_measures(metrics)
    figures.update({name: tracking[name] for name in ("HOTA", "DetA", "AssA") if name in tracking})
    return {
        "figures": {**figures, "IDF1": identity["IDF1"], "ID switches": identity["ID_switches"]},
        "thresholds": [round(float(x), 2) for x in IOU_THRESHOLDS],
        "by_threshold": overall,
        "by_category": rows,
    }


def _video_data(
    video: Video, predictions: list[Track], lines: tuple[list[Line], list[Line]]
) -> dict[str, Any]:
    """What the player draws, except for the frames; masks are the counts of compressed RLEs."""
    return {
        "id": video.id,
        "height": video.height,
        "width": video.width,
        "objects": list(map(_track_data, video.objects, lines[0])),
        "crowds": [_track_data(x) for x in video.truth if x.is_crowd],
        "predictions": [
            {**_track_data(track, line), "score": round(track.score, 4)}
            for track, line in zip(predictions, lines[1], strict=True)
        ],
    }


def _track_data(track: Track, line: Line | None = None) -> dict[str, Any]:
    masks = [x and x.decode() for x in track.counts]
    states = asdict(line) if line else {}
    return {**states, "category": track.category_id, "masks": masks}


def _video_row(video: Video, objects: list[Line], predictions: list[Line]) -> dict[str, Any]:
    """A video in the list of videos, with numbers of frames summed over its tracks."""
    return {
        "id": video.id,
        "length": video.length,
        "objects": len(objects),
        "predictions": len(predictions),
        "switches": sum(len(x.switches) for x in objects),
        "found": sum(x.frames(FOUND) for x in objects),
        "wrong_category": sum(x.frames(WRONG_CATEGORY) for x in objects),
        "missed": sum(x.frames(MISSED) for x in objects),
        "false": sum(x.frames(FALSE) for x in predictions),
    }


def _write_call(path: Path, function: str, data: Any) -> None:
    """Write a script that passes data to a function of the page."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{function}(")
        json.dump(data, file, separators=(",", ":"))
        file.write(");\n")


def _check_frames(images: Path, videos: Any) -> None:
    if not images.is_dir():
        raise AnnotationError(f"--images {images} must be the image folder")
    frames = [(name, video["id"]) for video in videos for name in video["file_names"]]
    for name, video_id in frames:
        if escapes_folder(name):
            raise AnnotationError(f"video {video_id}: {name!r} points outside the image folder")
    missing = [(name, video_id) for name, video_id in frames if not (images / name).is_file()]
    if missing:
        name, video_id = missing[0]
        raise AnnotationError(
            f"--images {images} lacks {len(missing)} of {len(frames)} frames, for example {name} "
            f"of video {video_id}: it must be the folder that 'file_names' are relative to"
        )


def _check_output(output: Path) -> None:
    """Only an empty folder or an earlier page may be replaced."""
    is_free = not any(output.iterdir()) if output.is_dir() else not output.exists()
    if not is_free and not (output / "data/summary.js").is_file():
        raise AnnotationError(f"--output {output} exists and is not a results page")
