"""Average precision and recall of video instance segmentation, equal to the official code's.

Letters: I IoU thresholds (10), R recall points (101), K categories, A area ranges (4), M limits
on the number of predictions per video (3), P predictions of one category in all videos.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .matching import AREA_RANGES, IOU_THRESHOLDS, Matches
from .predictions import iterate_tracks
from .scoring import VideoMatches, map_videos, score_video
from .track_spool import TrackSpool
from .tracks import Video, read_videos

RECALL_POINTS = np.linspace(0, 1, 101)
MAX_DETECTIONS = (1, 10, 100)


@dataclass
class Metrics:
    """Precision and recall for every setting, -1 where there is no object to count.

    Attributes:
        precision: (I, R, K, A, M), in [0, 1].
        recall: (I, K, A, M), in [0, 1].
        categories: the K names by category id, in rising order.
        videos: the matches of each video, by rising id.
    """

    precision: np.ndarray
    recall: np.ndarray
    categories: dict[int, str]
    videos: list[VideoMatches] = field(default_factory=list)

    def as_dict(self) -> dict[str, float | None]:
        """AP, AP50, ..., ARl and AP-<category> in percent, None where there is no object."""
        by_category = {
            f"AP-{name}": _mean_percent(self.precision[:, :, k, 0, 2])
            for k, name in enumerate(self.categories.values())
        }
        return {**_figures(self.precision, self.recall), **by_category}

    def per_category(self) -> dict[str, dict[str, float | None]]:
        """AP, AP50, ..., ARl of each category in percent, by name."""
        return {
            name: _figures(self.precision[:, :, k : k + 1], self.recall[:, k : k + 1])
            for k, name in enumerate(self.categories.values())
        }

    def by_threshold(self) -> tuple[list[float | None], list[list[float | None]]]:
        """AP in percent at each of the I thresholds: of all categories, and of each of the K."""
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
    hota: bool = False,
    processes: int = 1,
) -> Metrics:
    """Score predicted tracks by video AP and AR, with the IoU of Eq. 1 of the paper.

    Args:
        ground_truth: content of an annotation file.
        results: entries with ``video_id``, ``category_id``, ``score`` and ``segmentations``.
            Entries with an unknown video or category, or with another length or mask size than
            their video, are dropped with a warning.
        sources: names of the two, for messages.
        strict: raise an error for such entries.
        oracle: first replace a part of the predictions by the ground truth: "tracking",
            "classification" or "segmentation" (see ``oracle.py``).
        identity: also compute what ``identity_measures`` and ``reappearance_measures`` need.
        hota: also compute what ``hota_measures`` needs.
        processes: number of processes for large inputs. Scripts that use more than one need the
            ``if __name__ == "__main__"`` guard.

    Raises:
        AnnotationError: if either is malformed, or, if strict, entries do not match.
    """
    videos = read_videos(ground_truth, sources[0])
    categories = {x["id"]: x["name"] for x in ground_truth["categories"]}
    with TrackSpool() as spool:
        for video, track in iterate_tracks(
            ground_truth, videos, results, sources[1], strict=strict
        ):
            spool.add(video, track)
        return score_tracks(
            spool.read(videos.values()),
            categories,
            oracle=oracle,
            identity=identity,
            hota=hota,
            processes=processes,
        )


def score_tracks(
    videos: Iterable[Video],
    categories: dict[int, str],
    *,
    oracle: str | None = None,
    identity: bool = False,
    hota: bool = False,
    processes: int = 1,
) -> Metrics:
    """Score videos with their predictions, by rising id.

    The other arguments are those of ``evaluate``, with the names of the categories by id.
    """
    categories = dict(sorted(categories.items()))
    score = partial(score_video, oracle=oracle, identity=identity, hota=hota)
    matches = map_videos(score, videos, processes)

    shape = (len(categories), len(AREA_RANGES), len(MAX_DETECTIONS))
    precision = -np.ones((len(IOU_THRESHOLDS), len(RECALL_POINTS), *shape))
    recall = -np.ones((len(IOU_THRESHOLDS), *shape))
    for k, category_id in enumerate(categories):
        found = [x.by_category[category_id] for x in matches if category_id in x.by_category]
        for a, m in np.ndindex(shape[1:]):
            if any(x.num_objects[a] for x in found):
                curves = precision_recall(found, a, MAX_DETECTIONS[m])
                precision[:, :, k, a, m], recall[:, k, a, m] = curves
    return Metrics(precision, recall, categories, matches)


def precision_recall(videos: list[Matches], area: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """(I, R) precision and (I,) final recall of one category over all videos.

    Args:
        videos: the matches of each video, by rising id; at least one object counts.
        area: index of the area range.
        limit: limit on the number of predictions per video.
    """
    _, matched, counts = ranked(videos, area, limit)
    num_objects = sum(x.num_objects[area] for x in videos)
    true_positives = np.cumsum(matched, axis=1, dtype=float)
    false_positives = np.cumsum(counts & ~matched, axis=1, dtype=float)
    reached = true_positives / num_objects
    # The best precision at this recall or above, 0 where the recall is not reached.
    precision = true_positives / (true_positives + false_positives + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.pad(envelope, ((0, 0), (0, 1)))
    at = [np.searchsorted(row, RECALL_POINTS, side="left") for row in reached]
    final = reached[:, -1] if reached.shape[1] else np.zeros(len(reached))
    return np.take_along_axis(envelope, np.array(at), axis=1), final


def ranked(
    videos: list[Matches], area: int = 0, limit: int = MAX_DETECTIONS[-1]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(P,) index of the video, (I, P) whether a true positive, and (I, P) whether counted, of all
    predictions of one category by falling score; arguments as for ``precision_recall``."""
    scores = [x.scores[:limit] for x in videos]
    order = np.argsort(-np.concatenate(scores), kind="stable")
    video = np.repeat(np.arange(len(videos)), [len(x) for x in scores])[order]
    matched = np.concatenate([x.matched[area, :, :limit] for x in videos], axis=1)[:, order]
    counted = ~np.concatenate([x.ignored[area, :, :limit] for x in videos], axis=1)[:, order]
    return video, matched & counted, counted
