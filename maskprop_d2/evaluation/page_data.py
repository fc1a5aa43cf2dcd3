"""What the results page shows, as json-like values: figures, curves, and the tracks of a video.

Several models are shown beside each other: whatever depends on a model is a list with an entry for
each. Masks are the counts of compressed RLEs.
"""

from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .comparison import Comparison
from .diagnosis import Diagnosis
from .hota import ALPHAS
from .hota_figures import hota_curves, hota_measures
from .identity import FramePairs
from .matching import IOU_THRESHOLDS
from .timeline import FALSE, FOUND, MISSED, WRONG_CATEGORY, Line, video_timeline
from .tracks import Track, Video, best_by_category
from .video_ap import Metrics
from .worst_cases import Case

TRACKING = ("HOTA", "DetA", "AssA", "LocA")


@dataclass
class Model:
    """The results of one model.

    Attributes:
        name: a short name.
        videos: as of ``read_tracks``, by rising id.
        threshold: predictions with lower scores are not shown.
        figures: what ``scored_figures`` returns, None without ground truth.
        gains: by video id, how much AP the video costs.
        pairs: by video id, the agreements by category id; None without ground truth.
    """

    name: str
    videos: list[Video]
    threshold: float = 0.0
    figures: dict[str, Any] | None = None
    gains: dict[int, float] = field(default_factory=dict)
    pairs: dict[int, dict[int, FramePairs]] | None = None


def scored_figures(metrics: Metrics, identity: dict[str, Any]) -> dict[str, Any]:
    """Figures of a model, and its curves over the thresholds, of all categories and of each."""
    figures = metrics.as_dict()
    overall, by_category = metrics.by_threshold()
    tracking, tracking_by_category = hota_curves(metrics)
    rows = [
        {
            "id": category_id,
            "AP": figures.pop(f"AP-{name}"),
            "by_threshold": _rounded(curve),
            "tracking": {k: _rounded(x) for k, x in tracking_by_category[category_id].items()},
        }
        for (category_id, name), curve in zip(metrics.categories.items(), by_category, strict=True)
    ]
    measures = hota_measures(metrics)
    figures.update({name: measures[name] for name in TRACKING[:3] if name in measures})
    return {
        "figures": {**figures, "IDF1": identity["IDF1"], "ID switches": identity["ID_switches"]},
        "thresholds": [round(float(x), 2) for x in IOU_THRESHOLDS],
        "by_threshold": _rounded(overall),
        "alphas": [round(float(x), 2) for x in ALPHAS],
        "tracking": {k: _rounded(x) for k, x in tracking.items()},
        "by_category": rows,
    }


def _rounded(curve: list[float | None] | list[float]) -> list[float | None]:
    return [None if x is None else round(x, 2) for x in curve]


def differences(comparison: Comparison) -> list[dict[str, Any] | None]:
    """For each model the differences of its figures to the first, with their intervals."""
    by_model = comparison.differences
    return [
        {name: asdict(x) for name, x in by_model[model].items()} if model in by_model else None
        for model in comparison.figures
    ]


def diagnosis_data(found: Diagnosis, model: Model, frames: dict[int, list[str]]) -> dict[str, Any]:
    """What costs AP, and the worst cases with their masks.

    Args:
        found: the diagnosis of the model.
        model: its results.
        frames: by video id, the URLs of the frames.
    """
    videos = {x.id: x for x in model.videos}
    return {
        "lost": found.lost,
        "worst": {kind: list(by_video) for kind, by_video in found.worst.items()},
        "cases": {
            kind: [_case_data(x, videos[x.video_id], model.threshold, frames) for x in cases]
            for kind, cases in found.cases.items()
        },
    }


def _case_data(
    case: Case, video: Video, threshold: float, frames: dict[int, list[str]]
) -> dict[str, Any]:
    data: dict[str, Any] = {
        "video": video.id,
        "frame": case.frame,
        "url": frames[video.id][case.frame],
        "height": video.height,
        "width": video.width,
        "cost": case.cost,
    }
    if case.object is not None:
        track = video.objects[case.object]
        data["object"] = {"index": case.object, **_mask_data(track, case.frame)}
    if case.prediction is not None:
        best = best_by_category(video.predictions)
        track = [x for _, tracks in sorted(best.items()) for x in tracks][case.prediction]
        shown = [i for i, x in enumerate(shown_predictions(video, threshold)) if x is track]
        mask = _mask_data(track, case.frame)
        data["prediction"] = {"index": shown[0] if shown else None, "score": track.score, **mask}
    return data


def _mask_data(track: Track, frame: int) -> dict[str, Any]:
    counts = track.counts[frame]
    return {"category": track.category_id, "mask": counts and counts.decode()}


def video_data(
    models: list[Model], i: int, name: str, frames: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tracks of a video, for the player, and its line in the list of videos.

    Args:
        models: at least one; all have the same ground truth.
        i: index of the video in ``Model.videos``.
        name: of the video.
        frames: the URLs of its frames.
    """
    video = models[0].videos[i]
    tracks, facts = [], []
    categories = {x.category_id for x in video.truth}
    for model in models:
        own = model.videos[i]
        predictions = shown_predictions(own, model.threshold)
        pairs = None if model.pairs is None else model.pairs[own.id]
        lines = video_timeline(own, predictions, pairs, model.threshold)
        shown = [
            {**_track_data(x), **asdict(line), "score": round(x.score, 4)}
            for x, line in zip(predictions, lines[1], strict=True)
        ]
        tracks.append({"objects": [asdict(x) for x in lines[0]], "predictions": shown})
        facts.append({**_facts(*lines), "gain": model.gains.get(own.id)})
        categories.update(x.category_id for x in predictions)
    data = {
        "id": video.id,
        "height": video.height,
        "width": video.width,
        "objects": [_track_data(x) for x in video.objects],
        "crowds": [_track_data(x) for x in video.truth if x.is_crowd],
        "models": tracks,
        "frames": frames,
    }
    row = {
        "id": video.id,
        "name": name,
        "length": video.length,
        "objects": len(video.objects),
        "categories": sorted(categories),
        "models": facts,
    }
    return data, row


def shown_predictions(video: Video, threshold: float) -> list[Track]:
    """The predictions that count and reach the score threshold, by falling score."""
    best = [x for tracks in best_by_category(video.predictions).values() for x in tracks]
    return sorted((x for x in best if x.score >= threshold), key=lambda x: -x.score)


def video_name(entry: dict[str, Any]) -> str:
    """The folder of a video's frames; its id if they lie in no folder or in several."""
    folders = {str(PurePosixPath(x).parent) for x in entry["file_names"]}
    folder = folders.pop()
    return folder if not folders and folder != "." else str(entry["id"])


def _track_data(track: Track) -> dict[str, Any]:
    return {"category": track.category_id, "masks": [x and x.decode() for x in track.counts]}


def _facts(objects: list[Line], predictions: list[Line]) -> dict[str, Any]:
    """Numbers of tracks, and of frames summed over them."""
    return {
        "predictions": len(predictions),
        "switches": sum(len(x.switches) for x in objects),
        "found": sum(x.frames(FOUND) for x in objects),
        "wrong_category": sum(x.frames(WRONG_CATEGORY) for x in objects),
        "missed": sum(x.frames(MISSED) for x in objects),
        "false": sum(x.frames(FALSE) for x in predictions),
    }
