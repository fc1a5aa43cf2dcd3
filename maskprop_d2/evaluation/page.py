"""A page on which to look at results: figures, plots, and each video with its masks.

The page is a folder that a browser opens from the disk, without a server: data lie in scripts,
since a page from the disk may not read other files. ``data/summary.js`` has the figures and a
line for each video; ``data/video_<id>.js`` the masks of one, which is loaded when it is looked
at. Frames stay where they are, and the page names them relative to itself: data sets are large,
and both can move together.
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
from ..ytvis.reading import iterate_json, leads_out, load_json
from .identity import identity_measures
from .matching import IOU_THRESHOLDS
from .per_video import ap_gains
from .predictions import read_tracks
from .timeline import FALSE, FOUND, MISSED, WRONG_CATEGORY, Timeline, seen_timeline, video_timeline
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
) -> None:
    """Score the results and write the page, whole or not at all.

    Args:
        ground_truth: annotations in YouTube-VIS's format. Without annotations in it the page
            shows predictions alone.
        results: predicted tracks.
        images: the folder that ``file_names`` are relative to.
        output: the folder to write; an earlier page in it is replaced.
        score_threshold: predictions below it are not shown; by default the one with the best
            IDF1. The figures count all predictions.
        processes: as of ``evaluate``.

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

    metrics, identity = None, None
    gains: dict[int, float] = {}
    if truth.get("annotations"):
        metrics = score_tracks(videos, categories, identity=True, processes=processes)
        pairs = (x for matches in metrics.videos for x in matches.frame_pairs.values())
        identity = identity_measures(pairs)
        gains = ap_gains(metrics)
        if score_threshold is None:
            score_threshold = identity["score_threshold"]
    elif score_threshold is None:
        score_threshold = THRESHOLD_WITHOUT_TRUTH
    threshold = score_threshold or 0.0

    pairs_of = {x.video_id: x.frame_pairs for x in metrics.videos} if metrics else {}
    with atomic_folder(output) as folder:
        shutil.copytree(FILES, folder, dirs_exist_ok=True)
        (folder / "data").mkdir()
        lines = []
        for video in tqdm(videos, desc="page", unit="video", disable=None):
            predictions = shown_predictions(video, threshold)
            timeline = (
                video_timeline(video, predictions, pairs_of[video.id], threshold)
                if metrics
                else seen_timeline(predictions)
            )
            urls = [_url(images / x, output) for x in entries[video.id]["file_names"]]
            data = _video_data(video, predictions, timeline, urls)
            _write_call(folder / f"data/video_{video.id}.js", "receiveVideo", data)
            line = _video_line(video, predictions, timeline)
            name = video_name(entries[video.id])
            lines.append({**line, "name": name, "gain": gains.get(video.id)})
        # Where there is no gain to sort by, they stay by rising id.
        lines.sort(key=lambda x: -(x["gain"] or 0))
        summary = {
            "sources": [ground_truth.name, results.name],
            "categories": categories,
            "score_threshold": threshold,
            "scored": _figures(metrics, identity) if metrics else None,
            "videos": lines,
        }
        _write_call(folder / "data/summary.js", "receiveSummary", summary)


def shown_predictions(video: Video, threshold: float) -> list[Track]:
    """Of the predictions that count those that reach the threshold, by falling score."""
    best = [x for tracks in best_by_category(video.predictions).values() for x in tracks]
    return sorted((x for x in best if x.score >= threshold), key=lambda x: -x.score)


def _figures(metrics: Metrics, identity: Any) -> dict[str, Any]:
    figures = {k: v for k, v in metrics.as_dict().items() if not k.startswith("AP-")}
    overall, by_category = metrics.by_threshold()
    rows = [
        {"id": category_id, "AP": values["AP"], "by_threshold": curve}
        for category_id, values, curve in zip(
            metrics.categories, metrics.per_category().values(), by_category, strict=True
        )
    ]
    return {
        "figures": {**figures, "IDF1": identity["IDF1"], "ID switches": identity["ID_switches"]},
        "thresholds": [round(float(x), 2) for x in IOU_THRESHOLDS],
        "by_threshold": overall,
        "by_category": rows,
    }


def _video_data(
    video: Video, predictions: list[Track], timeline: Timeline, urls: list[str]
) -> dict[str, Any]:
    """All that the player draws, masks as the counts of compressed RLEs."""
    objects = [x for x in video.truth if not x.is_crowd]
    crowds = [x for x in video.truth if x.is_crowd]
    return {
        "id": video.id,
        "height": video.height,
        "width": video.width,
        "frames": urls,
        "objects": [
            {**asdict(line), **_track_data(track)}
            for track, line in zip(objects, timeline.objects, strict=True)
        ],
        "crowds": [_track_data(x) for x in crowds],
        "predictions": [
            {**asdict(line), **_track_data(track), "score": round(track.score, 4)}
            for track, line in zip(predictions, timeline.predictions, strict=True)
        ],
    }


def _track_data(track: Track) -> dict[str, Any]:
    masks = [x and x.decode() for x in track.counts]
    return {"category": track.category_id, "masks": masks}


def _video_line(video: Video, predictions: list[Track], timeline: Timeline) -> dict[str, Any]:
    """What the list of videos says of one; times are in frames of all its tracks together."""

    def frames(state: str) -> int:
        return sum(x.frames(state) for x in timeline.objects)

    return {
        "id": video.id,
        "length": video.length,
        "categories": sorted({x.category_id for x in [*video.truth, *predictions]}),
        "objects": len(timeline.objects),
        "predictions": len(predictions),
        "switches": sum(len(x.switches) for x in timeline.objects),
        "found": frames(FOUND),
        "wrong_category": frames(WRONG_CATEGORY),
        "missed": frames(MISSED),
        "false": sum(x.frames(FALSE) for x in timeline.predictions),
    }


def video_name(entry: dict[str, Any]) -> str:
    """The folder of its frames, or its id if that does not tell videos apart."""
    folders = {str(PurePosixPath(x).parent) for x in entry["file_names"]}
    folder = folders.pop()
    return folder if not folders and folder != "." else str(entry["id"])


def _url(path: Path, output: Path) -> str:
    return quote(os.fsencode(os.path.relpath(path, output)))


def _write_call(path: Path, function: str, data: Any) -> None:
    """Write a script that hands data to a function of the page."""
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{function}(")
        json.dump(data, file, separators=(",", ":"))
        file.write(");\n")


def _check_frames(images: Path, videos: Any) -> None:
    if not images.is_dir():
        raise AnnotationError(f"--images {images} must be the folder of the frames")
    frames = [(name, video["id"]) for video in videos for name in video["file_names"]]
    for name, video_id in frames:
        if leads_out(name):
            raise AnnotationError(f"video {video_id}: {name!r} leads out of the frames' folder")
    missing = [(name, video_id) for name, video_id in frames if not (images / name).is_file()]
    if missing:
        name, video_id = missing[0]
        raise AnnotationError(
            f"--images {images} lacks {len(missing)} of {len(frames)} frames, for example {name} "
            f"of video {video_id}: it must be the folder that 'file_names' are relative to"
        )


def _check_output(output: Path) -> None:
    """Only what is a page may be replaced."""
    if output.is_dir():
        if not any(output.iterdir()) or (output / "data/summary.js").is_file():
            return
    elif not output.exists():
        return
    raise AnnotationError(f"--output {output} exists and is no results page: name another folder")
