"""Figures of resampled sets of videos, for bootstrap confidence intervals.

How often each video is drawn is its weight. Letters: B resamples, V videos, I IoU thresholds (10),
P predictions of one category in all videos.
"""

import numpy as np

from .hota_figures import resampled_tracking_figures
from .matching import IOU_THRESHOLDS
from .scoring import VideoMatches
from .video_ap import RECALL_POINTS, Metrics, ranked

MAX_ELEMENTS = 2 * 10**6  # Bound of the size of arrays.


def draw_weights(videos: int, resamples: int, seed: int = 0) -> np.ndarray:
    """(B, V) how often each video is drawn in each resample of as many videos, with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(videos, np.full(videos, 1 / videos), resamples)


def resampled_figures(metrics: Metrics, weights: np.ndarray) -> dict[str, np.ndarray]:
    """(B,) AP, AP50, AP75, HOTA, DetA, AssA, LocA, IDF1 and MOTA in percent of each resample.

    A category counts for AP where a resample has objects of it, as in the official code, and for
    the others where it has objects or predictions of it. Figures are NaN where none counts.

    Args:
        metrics: with ``hota``.
        weights: (B, V), the videos as in ``metrics.videos``.
    """
    by_category = [
        _resampled_precision(metrics.videos, category_id, weights)
        for category_id in metrics.categories
    ]
    precision = 100 * _mean_over_categories(np.stack(by_category))
    figures = {"AP": precision.mean(1), "AP50": precision[:, 0], "AP75": precision[:, 5]}
    tracking = []
    for category_id in metrics.categories:
        here = [v for v, x in enumerate(metrics.videos) if category_id in x.tracking]
        counts = [metrics.videos[v].tracking[category_id] for v in here]
        masks = np.array([x.object_masks + x.predicted_masks for x in counts], int)
        # As in trackeval, a category without any in all videos counts.
        is_drawn = (weights[:, here] @ masks > 0) | (not masks.any())
        found = resampled_tracking_figures(counts, weights[:, here])
        tracking.append({k: np.where(is_drawn, x, np.nan) for k, x in found.items()})
    return figures | {
        k: _mean_over_categories(np.stack([x[k] for x in tracking])) for k in tracking[0]
    }


def _mean_over_categories(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of the values that are not NaN; NaN if there are none."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(0)
    return np.divide(total, known.sum(0), out=np.full_like(total, np.nan), where=known.any(0))


def _resampled_precision(
    videos: list[VideoMatches], category_id: int, weights: np.ndarray
) -> np.ndarray:
    """(B, I) average precision of one category in [0, 1], NaN where there are no objects.

    A video that is drawn several times has its predictions at one rank, with a weight. Unless
    scores are equal this is the same as repeating them: the highest precision at the same recall or
    above does not change.
    """
    found = {
        v: x.by_category[category_id] for v, x in enumerate(videos) if category_id in x.by_category
    }
    objects = np.zeros(len(videos))
    for v, matches in found.items():
        objects[v] = matches.num_objects[0]
    totals = weights @ objects
    result = np.where(totals > 0, 0.0, np.nan)[:, None].repeat(len(IOU_THRESHOLDS), 1)
    number = sum(len(x.scores) for x in found.values())
    if number and totals.any():
        index, matched, counted = ranked(list(found.values()))
        video = np.array(list(found))[index]
        step = max(1, MAX_ELEMENTS // (number * len(IOU_THRESHOLDS)))
        for start in range(0, len(weights), step):
            now = np.arange(start, min(start + step, len(weights)))
            now = now[totals[now] > 0]
            share = weights[now][:, None, video]
            result[now] = _average_precision(share * matched, share * counted, totals[now])
    return result


def _average_precision(true: np.ndarray, counted: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """(B, I) mean precision at the recall points, from the (B, I, P) weights of true positives and
    of all predictions that count, and the (B,) numbers of objects."""
    true = true.cumsum(2)
    precision = true / np.maximum(counted.cumsum(2), 1)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    # The number of recall points that are reached, the first of which, 0, always is.
    reached = np.searchsorted(RECALL_POINTS, true / totals[:, None, None], side="right")
    return (envelope * np.diff(reached, axis=2, prepend=0)).sum(2) / len(RECALL_POINTS)
