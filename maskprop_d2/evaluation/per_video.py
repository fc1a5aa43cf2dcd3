"""Which videos cost the most AP."""

import numpy as np

from .matching import Matches
from .video_ap import Metrics, precision_recall


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
        matches = [x.by_category[category_id] for x in videos]
        before = _average_precision(matches)
        for i, video in enumerate(videos):
            better = [*matches[:i], _perfect(matches[i]), *matches[i + 1 :]]
            gain = 100 * (_average_precision(better) - before)
            gains[video.video_id] += gain / len(counted)
    return dict(sorted(gains.items(), key=lambda x: -x[1]))


def _average_precision(matches: list[Matches]) -> float:
    return float(precision_recall(matches, area=0, limit=100)[0].mean())


def _perfect(matches: Matches) -> Matches:
    number = int(matches.num_objects[0])
    matched = np.ones((*matches.matched.shape[:2], number), dtype=bool)
    return Matches(np.full(number, np.inf), matched, ~matched, matches.num_objects, matched)
