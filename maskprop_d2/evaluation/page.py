"""An HTML page of results: figures, plots, and the videos with their masks.

The page is a folder that a browser opens from the disk, without a server. Its data are scripts,
since such a page may not read other files: ``data/summary.js`` holds the figures and an entry for
each video, ``data/video_<id>.js`` the masks of a video, loaded when the video is opened. Frames
are not copied: the page refers to them by relative paths.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tqdm import tqdm

from ..errors import AnnotationError
from ..files import atomic_folder
from ..ytvis import iterate_json, load_json
from ..ytvis.checks import escapes_folder
from .comparison import Comparison
from .diagnosis import diagnose
from .identity import identity_measures
from .page_data import Model, diagnosis_data, differences, scored_figures, video_data, video_name
from .per_video import ap_gains
from .predictions import read_tracks
from .video_ap import score_tracks

FILES = Path(__file__).parent / "page_files"
THRESHOLD_WITHOUT_TRUTH = 0.3


def write_page(
    ground_truth: Path,
    results: Mapping[str, Path],
    images: Path,
    output: Path,
    score_threshold: float | None = None,
    processes: int = 1,
    *,
    diagnosis: bool = False,
    comparison: Comparison | None = None,
) -> None:
    """Score the results and write the page. On errors nothing is written.

    Args:
        ground_truth: annotation file. Without annotations in it, the page shows only predictions.
        results: results file of each model, by its name. Several are shown beside each other.
        images: the folder that ``file_names`` are relative to.
        output: the folder to write; an earlier page in it is replaced.
        score_threshold: hide predictions scored below this (default: for each model the threshold
            with the best IDF1). The figures count all predictions.
        processes: as for ``evaluate``.
        diagnosis: show what costs AP, too (see ``diagnosis.py``).
        comparison: of the models, to show differences with their intervals.

    Raises:
        AnnotationError: if a file cannot be used, a frame is missing, or ``output`` holds
            something else than a page.
    """
    output = Path(os.path.abspath(output))
    check_page_output(output)
    truth = load_json(ground_truth)
    models = [
        Model(name, read_tracks(truth, iterate_json(path), (ground_truth, path)))
        for name, path in results.items()
    ]
    entries = {x["id"]: x for x in truth["videos"]}
    _check_frames(images, entries.values())
    categories = {x["id"]: x["name"] for x in truth["categories"]}
    frames = {
        i: [quote(os.fsencode(os.path.relpath(images / x, output))) for x in entry["file_names"]]
        for i, entry in entries.items()
    }
    for model in models:
        model.threshold = THRESHOLD_WITHOUT_TRUTH
        if truth.get("annotations"):
            _score(model, categories, processes)
        if score_threshold is not None:
            model.threshold = score_threshold
        if model.figures is not None and diagnosis:
            found = diagnose(model.videos, list(categories), processes)
            model.figures.update(diagnosis_data(found, model, frames))

    with atomic_folder(output) as folder:
        shutil.copytree(FILES, folder, dirs_exist_ok=True)
        (folder / "data").mkdir()
        rows = []
        for i, video in enumerate(tqdm(models[0].videos, "page", unit="video", disable=None)):
            name = video_name(entries[video.id])
            data, row = video_data(models, i, name, frames[video.id])
            _write_call(folder / f"data/video_{video.id}.js", "receiveVideo", data)
            rows.append(row)
        rows.sort(key=_importance, reverse=True)
        summary = {
            "ground_truth": ground_truth.name,
            "categories": categories,
            "models": [
                {"name": x.name, "score_threshold": x.threshold, "scored": x.figures}
                for x in models
            ],
            "differences": comparison and differences(comparison),
            "videos": rows,
        }
        _write_call(folder / "data/summary.js", "receiveSummary", summary)


def _score(model: Model, categories: dict[int, str], processes: int) -> None:
    metrics = score_tracks(model.videos, categories, identity=True, hota=True, processes=processes)
    model.pairs = {x.video_id: x.frame_pairs for x in metrics.videos}
    identity = identity_measures(x for y in model.pairs.values() for x in y.values())
    model.figures, model.gains = scored_figures(metrics, identity), ap_gains(metrics)
    model.threshold = identity["score_threshold"] or 0.0


def _importance(row: dict[str, Any]) -> float:
    """How much AP a video costs; of several models, how much they differ in this. Without ground
    truth videos stay sorted by id."""
    gains = [x["gain"] or 0 for x in row["models"]]
    return gains[0] if len(gains) == 1 else max(gains) - min(gains)


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


def check_page_output(output: Path) -> None:
    """Refuse to replace anything but an empty folder or an earlier page.

    Raises:
        AnnotationError: if ``output`` is something else.
    """
    is_free = not any(output.iterdir()) if output.is_dir() else not output.exists()
    if not is_free and not (output / "data/summary.js").is_file():
        raise AnnotationError(f"--output {output} exists and is not a results page")
