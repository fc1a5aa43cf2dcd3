"""Average precision and recall of video instance segmentation, as the official code counts them.

Shape shorthand: I IoU thresholds (10), R recall points (101), K categories, A area ranges (4),
M limits of detections a video (3); P predictions and G ground truths of one video and category.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .ytvis_json import check_ground_truth, check_results, frame_rles

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0, 1, 101)
AREA_RANGES = {
    "all": (0, 1e5**2),
    "small": (0, 128**2),
    "medium": (128**2, 256**2),
    "large": (256**2, 1e5**2),
}
MAX_DETECTIONS = (1, 10, 100)


@dataclass
class Metrics:
    """Precision and recall at every setting, -1 where there is no ground truth to count.

    Attributes:
        precision: (I, R, K, A, M), in [0, 1].
        recall: (I, K, A, M), in [0, 1].
        category_names: the K names.
    """

    precision: np.ndarray
    recall: np.ndarray
    category_names: list[str]

    def as_dict(self) -> dict[str, float | None]:
        """AP, AP50, ..., ARl and AP-<category>, in percent; None where nothing can be counted."""
        ap, ar = self.precision, self.recall
        figures = {
            "AP": ap[..., 0, 2],
            "AP50": ap[0, ..., 0, 2],
            "AP75": ap[5, ..., 0, 2],
            "APs": ap[..., 1, 2],
            "APm": ap[..., 2, 2],
            "APl": ap[..., 3, 2],
            "AR1": ar[..., 0, 0],
            "AR10": ar[..., 0, 1],
            "AR100": ar[..., 0, 2],
            "ARs": ar[..., 1, 2],
            "ARm": ar[..., 2, 2],
            "ARl": ar[..., 3, 2],
        }
        for k, name in enumerate(self.category_names):
            figures[f"AP-{name}"] = ap[:, :, k, 0, 2]
        return {name: _mean_percent(values) for name, values in figures.items()}


def _mean_percent(values: np.ndarray) -> float | None:
    counted = values[values > -1]
    return float(counted.mean()) * 100 if counted.size else None


def evaluate(
    ground_truth: dict[str, Any],
    results: list[dict[str, Any]],
    sources: tuple[str, str] = ("ground truth", "results"),
) -> Metrics:
    """Score predicted tracks by video AP and AR, with the IoU of Eq. 1 of the paper.

    Args:
        ground_truth: a whole annotation file in YouTube-VIS's format.
        results: entries with ``video_id``, ``category_id``, ``score``, ``segmentations``.
        sources: names of the two, for messages.

    Raises:
        AnnotationError: if an entry is wrong, or fits no video or category.
    """
    check_ground_truth(ground_truth, sources[0])
    check_results(results, ground_truth, sources[1])
    categories = sorted(ground_truth["categories"], key=lambda x: x["id"])
    videos = sorted(ground_truth["videos"], key=lambda x: x["id"])
    truth_of, predictions_of = defaultdict(list), defaultdict(list)
    for annotation in ground_truth.get("annotations") or []:
        truth_of[annotation["video_id"], annotation["category_id"]].append(annotation)
    for i, result in enumerate(results):
        predictions_of[result["video_id"], result["category_id"]].append((i, result))

    shape = (len(categories), len(AREA_RANGES), len(MAX_DETECTIONS))
    precision = -np.ones((len(IOU_THRESHOLDS), len(RECALL_POINTS), *shape))
    recall = -np.ones((len(IOU_THRESHOLDS), *shape))
    for k, category in enumerate(categories):
        pairs = [
            _Matches(video, truth_of[key], predictions_of[key], sources)
            for video in videos
            if (key := (video["id"], category["id"])) in truth_of or key in predictions_of
        ]
        for a, area_range in enumerate(AREA_RANGES.values()):
            matched = [pair.match(area_range) for pair in pairs]
            for m, limit in enumerate(MAX_DETECTIONS):
                _accumulate(pairs, matched, limit, precision[:, :, k, a, m], recall[:, k, a, m])
    return Metrics(precision, recall, [category["name"] for category in categories])


class _Matches:
    """Predictions and ground truths of one category in one video.

    Attributes:
        scores: (P,) falling, at most 100.
        ious: (P, G) video IoUs.
    """

    def __init__(
        self,
        video: dict[str, Any],
        truth: list[dict[str, Any]],
        predictions: list[tuple[int, dict[str, Any]]],
        sources: tuple[str, str],
    ):
        order = np.argsort([-p["score"] for _, p in predictions], kind="stable")
        best = [predictions[i] for i in order[: MAX_DETECTIONS[-1]]]
        truth_rles = [frame_rles(x, video, f"{sources[0]}: annotation {x['id']}") for x in truth]
        best_rles = [frame_rles(x, video, f"{sources[1]}: entry {i}") for i, x in best]
        self.scores = np.array([x["score"] for _, x in best])
        self.ious, frame_areas = _video_ious(best_rles, truth_rles)
        self.areas = np.array([_average_area(areas) for areas in frame_areas])
        self.truth_areas = np.array([_truth_area(x) for x in truth])
        self.crowd = np.array([bool(x.get("iscrowd", 0)) for x in truth], dtype=bool)

    def match(self, area_range: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, int]:
        """Greedy matching by falling score, at every IoU threshold.

        Returns:
            (I, P) bool, whether a prediction is matched; (I, P) bool, whether it is left out of
            the count; and the number of ground truths that count.
        """
        low, high = area_range
        ignored = self.crowd | (self.truth_areas < low) | (self.truth_areas > high)
        # Ground truths that count come first: the others only take what is left.
        order = np.argsort(ignored, kind="stable")
        ious, ignored, crowd = self.ious[:, order], ignored[order], self.crowd[order]
        matched = np.zeros((len(IOU_THRESHOLDS), len(self.scores)), dtype=bool)
        left_out = np.zeros_like(matched)
        for i, threshold in enumerate(IOU_THRESHOLDS):
            free = np.ones(len(ignored), dtype=bool)
            for p in range(len(self.scores)):
                g = _best_ground_truth(ious[p], free | crowd, ignored, threshold)
                if g is not None:
                    free[g] = False
                    matched[i, p], left_out[i, p] = True, ignored[g]
        outside = (self.areas < low) | (self.areas > high)
        left_out |= ~matched & outside
        return matched, left_out, int((~ignored).sum())


def _best_ground_truth(
    ious: np.ndarray, available: np.ndarray, ignored: np.ndarray, threshold: float
) -> int | None:
    """The available ground truth with the largest IoU, if that reaches the threshold; one that
    counts before one that is ignored, and of equals the last, as in the official code."""
    for group in (~ignored, ignored):
        candidates = np.flatnonzero(available & group & (ious >= min(threshold, 1 - 1e-10)))
        if len(candidates):
            best = ious[candidates] == ious[candidates].max()
            return int(candidates[best][-1])
    return None


def _accumulate(
    pairs: list[_Matches],
    matched: list[tuple[np.ndarray, np.ndarray, int]],
    limit: int,
    precision: np.ndarray,
    recall: np.ndarray,
) -> None:
    """Fill in (I, R) precision and (I,) recall of one category, area range and limit."""
    number_of_truths = sum(count for _, _, count in matched)
    if number_of_truths == 0:
        return
    scores = np.concatenate([pair.scores[:limit] for pair in pairs])
    order = np.argsort(-scores, kind="stable")
    hit = np.concatenate([hits[:, :limit] for hits, _, _ in matched], axis=1)[:, order]
    counts = ~np.concatenate([out[:, :limit] for _, out, _ in matched], axis=1)[:, order]
    true_positives = np.cumsum(hit & counts, axis=1, dtype=float)
    false_positives = np.cumsum(~hit & counts, axis=1, dtype=float)
    for i, (tp, fp) in enumerate(zip(true_positives, false_positives, strict=True)):
        reached = tp / number_of_truths
        recall[i] = reached[-1] if len(reached) else 0
        # The best precision at this recall or a higher one.
        envelope = np.maximum.accumulate((tp / (tp + fp + np.spacing(1)))[::-1])[::-1]
        at = np.searchsorted(reached, RECALL_POINTS, side="left")
        precision[i] = np.append(envelope, 0)[at]


def _video_ious(
    predictions: list[list[Any]], truth: list[list[Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """(P, G) video IoUs (Eq. 1), and (P, L) areas of the predictions' masks in pixels."""
    length = len((predictions or truth)[0])
    areas = np.array([_areas(track) for track in predictions]).reshape(-1, length)
    truth_areas = np.array([_areas(track) for track in truth]).reshape(-1, length)
    intersections = np.zeros((len(predictions), len(truth)))
    for t in range(length):
        p, g = np.flatnonzero(areas[:, t]), np.flatnonzero(truth_areas[:, t])
        if len(p) and len(g):
            # Against "crowd" pycocotools divides the intersection by the prediction's area.
            share = coco_mask.iou(
                [predictions[i][t] for i in p], [truth[j][t] for j in g], [1] * len(g)
            )
            intersections[np.ix_(p, g)] += np.round(share * areas[p, t][:, None])
    unions = areas.sum(1)[:, None] + truth_areas.sum(1) - intersections
    return np.divide(intersections, unions, out=np.zeros_like(unions), where=unions > 0), areas


def _areas(track: list[Any]) -> np.ndarray:
    """(L,) area of a track's mask in each frame, 0 where there is none."""
    areas = np.zeros(len(track))
    seen = [t for t, rle in enumerate(track) if rle is not None]
    if seen:
        areas[seen] = coco_mask.area([track[t] for t in seen])
    return areas


def _average_area(areas: Any) -> float:
    """Mean over the frames in which an object is seen."""
    seen = [area for area in areas if area]
    return float(np.mean(seen)) if seen else 0.0


def _truth_area(annotation: dict[str, Any]) -> float:
    """The mean of the file's own areas; 0 if it has none, as the official code has it."""
    return _average_area(annotation.get("areas") or [])
