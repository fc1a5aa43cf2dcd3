"""How much AP each video costs."""

import numpy as np

from .bootstrap import MAX_ELEMENTS
from .matching import Matches
from .video_ap import RECALL_POINTS, Metrics, ranked


def ap_gains(metrics: Metrics) -> dict[int, float]:
    """How much AP would rise, in percentage points, if a video's predictions were perfect: its
    ground truth, scored above everything else. The other videos stay as they are.

    Returns:
        the gains by video id, the largest first; empty if there is no AP.
    """
    counted = {
        category_id: [x for x in metrics.videos if category_id in x.by_category]
        for k, category_id in enumerate(metrics.categories)
        if (metrics.precision[:, :, k, 0, 2] > -1).any()
    }
    gains = {x.video_id: 0.0 for x in metrics.videos} if counted else {}
    for category_id, videos in counted.items():
        found = _category_gains([x.by_category[category_id] for x in videos])
        for video, gain in zip(videos, found.tolist(), strict=True):
            gains[video.video_id] += 100 * gain / len(counted)
    return dict(sorted(gains.items(), key=lambda x: -x[1]))


def _category_gains(videos: list[Matches]) -> np.ndarray:
    """(V,) the gains of the videos in one category, in [-1, 1]."""
    video, true, counted = ranked(videos)
    objects = np.array([x.num_objects[0] for x in videos])
    # The number of recall points that 0, 1, ... hits reach.
    reached = np.arange(objects.sum() + 1) / objects.sum()
    reached = np.searchsorted(RECALL_POINTS, reached, side="right")
    gains = np.zeros(len(videos))
    for is_true, is_counted in zip(true, counted, strict=True):
        # AP depends on nothing but the hits and the number of misses that rank before each.
        hits, misses = np.flatnonzero(is_true), np.flatnonzero(is_counted & ~is_true)
        before = np.searchsorted(misses, hits)[None]
        whole = _average_precision(np.zeros(1, int), np.ones_like(before), before, reached)
        step = max(1, MAX_ELEMENTS // (len(hits) + 1))
        for start in range(0, len(videos), step):
            now = np.arange(start, min(start + step, len(videos)))
            # The same without each video's own predictions.
            own = np.zeros((len(now), len(hits) + 1), int)
            chosen = misses[np.isin(video[misses], now)]
            np.add.at(own, (video[chosen] - start, np.searchsorted(hits, chosen)), 1)
            others = video[hits] != now[:, None]
            left = before - own.cumsum(1)[:, :-1]
            gains[now] += _average_precision(objects[now], others, left, reached) - whole
    return gains / len(true)


def _average_precision(
    perfect: np.ndarray, hits: np.ndarray, misses: np.ndarray, reached: np.ndarray
) -> np.ndarray:
    """(B,) mean precision at the recall points of B rankings, which start with hits.

    Args:
        perfect: (B,) the number of these.
        hits: (B, H) 1 for each further hit, 0 for those to leave out.
        misses: (B, H) the number of misses before each.
        reached: the number of recall points that 0, 1, ... hits reach.
    """
    hits = np.concatenate([perfect[:, None], hits], axis=1).cumsum(1)
    misses = np.pad(misses, ((0, 0), (1, 0)))
    precision = hits / (hits + misses + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (envelope * np.diff(reached[hits], prepend=0)).sum(1) / len(RECALL_POINTS)
