"""Which videos cost most AP."""

import numpy as np

from .matching import Matches
from .video_ap import Metrics, accumulate


def ap_gains(metrics: Metrics) -> dict[int, float]:
    """What AP would gain, in points of percent, if a video's predictions were perfect.

    Perfect means that its ground truth, with scores above all others, stands in place of its
    predictions; those of all other videos stay as they are. That is never less than AP.

    Returns:
        the gains by video id, the largest first; empty where there is no AP.
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
    return float(accumulate(matches, areas=[0], limits=[100])[0].mean())


def _perfect(matches: Matches) -> Matches:
    number = int(matches.objects[0])
    shape = (*matches.hit.shape[:2], number)
    return Matches(
        scores=np.full(number, np.inf),
        hit=np.ones(shape, dtype=bool),
        left_out=np.zeros(shape, dtype=bool),
        objects=matches.objects,
    )
