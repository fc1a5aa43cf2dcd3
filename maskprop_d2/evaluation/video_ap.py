"""Average precision and recall of video instance segmentation, as the official code counts them.

Letters: I IoU thresholds (10), R recall points (101), K categories, A area ranges (4), M limits
of detections a video (3); P predictions of one category, of all videos.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .matching import AREA_RANGES, IOU_THRESHOLDS, Matches
from .predictions import read_tracks
from .scoring import VideoMatches, score_videos
from .tracks import Video

RECALL_POINTS = np.linspace(0, 1, 101)
MAX_DETECTIONS = (1, 10, 100)


@dataclass
class Metrics:
    """Precision and recall at every setting, -1 where there is no ground truth to count.

    Attributes:
        precision: (I, R, K, A, M), in [0, 1].
        recall: (I, K, A, M), in [0, 1].
        categories: the K names by the file's own ids, by rising id.
        videos: what was found in each video, by rising id.
    """

    precision: np.ndarray
    recall: np.ndarray
    categories: dict[int, str]
    videos: list[VideoMatches] = field(default_factory=list)

    def as_dict(self) -> dict[str, float | None]:
        """AP, AP50, ..., ARl and AP-<category>, in percent; None where nothing can be counted."""
        by_category = {
            f"AP-{name}": _mean_percent(self.precision[:, :, k, 0, 2])
            for k, name in enumerate(self.categories.values())
        }
        return {**_figures(self.precision, self.recall), **by_category}

    def per_category(self) -> dict[str, dict[str, float | None]]:
        """AP, AP50, ..., ARl of each category by its name, in percent."""
        return {
            name: _figures(self.precision[:, :, k : k + 1], self.recall[:, k : k + 1])
            for k, name in enumerate(self.categories.values())
        }

    def by_threshold(self) -> tuple[list[float | None], list[list[float | None]]]:
        """AP at each of the I thresholds, over all categories and of each of the K, in percent."""
        precision = self.precision[..., 0, 2]
        overall = [_mean_percent(x) for x in precision]
        by_category = np.moveaxis(precision, 2, 0)
        return overall, [[_mean_percent(x) for x in category] for category in by_category]


def _figures(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    figures = {
        "AP": precision[..., 0, 2],
        "AP50": precision[0, ..., 0, 2],
        "AP75": precision[5, ..., 0, 2],
        "APs": precision[..., 1, 2],
        "APm": precision[..., 2, 2],
        "APl": precision[..., 3, 2],
        "AR1": recall[..., 0, 0],
        "AR10": recall[..., 0, 1],
        "AR100": recall[..., 0, 2],
        "ARs": recall[..., 1, 2],
        "ARm": recall[..., 2, 2],
        "ARl": recall[..., 3, 2],
    }
    return {name: _mean_percent(values) for name, values in figures.items()}


def _mean_percent(values: np.ndarray) -> float | None:
    counted = values[values > -1]
    return float(counted.mean()) * 100 if counted.size else None


def evaluate(
    ground_truth: dict[str, Any],
    results: Iterable[dict[str, Any]],
    sources: tuple[str, str] = ("ground truth", "results"),
    *,
    strict: bool = False,
    oracle: str | None = None,
    identity: bool = False,
    processes: int = 1,
) -> Metrics:
    """Score predicted tracks by video AP and AR, with the IoU of Eq. 1 of the paper.

    Args:
        ground_truth: a whole annotation file in YouTube-VIS's format.
        results: entries with ``video_id``, ``category_id``, ``score``, ``segmentations``. Those
            whose video or category is unknown, or whose length or mask size is not their
            video's, are left out with a warning.
        sources: names of the two, for messages.
        strict: refuse such entries.
        oracle: replace a part of the predictions by the ground truth first, see ``oracle.py``:
            "tracking", "classification" or "segmentation".
        identity: also find what ``identity_measures`` needs.
        processes: for large inputs, how many to use; a script that asks for more than one must
            have its own code under ``if __name__ == "__main__"``.

    Raises:
        AnnotationError: if either is malformed, or, if strict, entries do not fit.
    """
    videos = read_tracks(ground_truth, results, sources, strict=strict)
    categories = {x["id"]: x["name"] for x in ground_truth["categories"]}
    return score_tracks(videos, categories, oracle=oracle, identity=identity, processes=processes)


def score_tracks(
    videos: list[Video],
    categories: dict[int, str],
    *,
    oracle: str | None = None,
    identity: bool = False,
    processes: int = 1,
) -> Metrics:
    """``evaluate`` for tracks that are read already.

    Args:
        videos: with their tracks, by rising id.
        categories: names by the file's own ids.
        oracle, identity, processes: as of ``evaluate``.
    """
    categories = dict(sorted(categories.items()))
    matches = score_videos(videos, oracle, identity, processes)

    shape = (len(categories), len(AREA_RANGES), len(MAX_DETECTIONS))
    precision = -np.ones((len(IOU_THRESHOLDS), len(RECALL_POINTS), *shape))
    recall = -np.ones((len(IOU_THRESHOLDS), *shape))
    for k, category_id in enumerate(categories):
        found = [x.by_category[category_id] for x in matches if category_id in x.by_category]
        if found:
            precision[:, :, k], recall[:, k] = accumulate(found)
    return Metrics(precision, recall, categories, matches)


def accumulate(
    videos: list[Matches],
    areas: Iterable[int] = range(len(AREA_RANGES)),
    limits: Iterable[int] = MAX_DETECTIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of one category over all its videos.

    Args:
        videos: at least one, by rising id.
        areas: the area ranges to count.
        limits: numbers of predictions a video to count.

    Returns:
        (I, R, A, M) and (I, A, M), -1 where there is no object to count.
    """
    areas, limits = list(areas), list(limits)
    scores = np.concatenate([x.scores for x in videos])
    order = np.argsort(-scores, kind="stable")
    rank_in_video = np.concatenate([np.arange(len(x.scores)) for x in videos])[order]
    hit = np.concatenate([x.hit for x in videos], axis=2)[..., order]
    counts = ~np.concatenate([x.left_out for x in videos], axis=2)[..., order]
    objects = np.sum([x.objects for x in videos], axis=0)
    precision = -np.ones((len(IOU_THRESHOLDS), len(RECALL_POINTS), len(areas), len(limits)))
    recall = -np.ones((len(IOU_THRESHOLDS), len(areas), len(limits)))
    for a, area in enumerate(areas):
        if objects[area] == 0:
            continue
        for m, limit in enumerate(limits):
            kept = rank_in_video < limit
            curve = _precision_recall(hit[area][:, kept], counts[area][:, kept], objects[area])
            precision[:, :, a, m], recall[:, a, m] = curve
    return precision, recall


def _precision_recall(
    hit: np.ndarray, counts: np.ndarray, objects: int
) -> tuple[np.ndarray, np.ndarray]:
    """(I, R) precision and (I,) final recall, from (I, P) by falling score."""
    true_positives = np.cumsum(hit & counts, axis=1, dtype=float)
    false_positives = np.cumsum(~hit & counts, axis=1, dtype=float)
    reached = true_positives / objects
    # The best precision at this recall or a higher one, 0 where the recall is not reached.
    precision = true_positives / (true_positives + false_positives + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.pad(envelope, ((0, 0), (0, 1)))
    at = [np.searchsorted(row, RECALL_POINTS, side="left") for row in reached]
    final = reached[:, -1] if reached.shape[1] else np.zeros(len(reached))
    return np.take_along_axis(envelope, np.array(at), axis=1), final
