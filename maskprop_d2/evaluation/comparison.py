"""Comparing models on the same videos, with bootstrap confidence intervals.

The videos are resampled with replacement, all models with the same draws: what makes a video hard
for all of them cancels out in differences, whose intervals are therefore much narrower than those
of the figures. An interval is the figure plus and minus t standard errors, the standard deviation
over the resamples, with t of Student's distribution (Hesterberg, The American Statistician 2015:
unlike percentiles of the resamples, these are not too narrow for few videos).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import AnnotationError
from .bootstrap import draw_weights, resampled_figures
from .per_video import ap_gains
from .video_ap import Metrics


@dataclass
class Interval:
    """A figure in percent, or a difference in percentage points, and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is significant at 5 %."""
        return self.low > 0 or self.high < 0


@dataclass
class Comparison:
    """Models side by side.

    Attributes:
        figures: by model and name: AP, AP50, AP75, HOTA, DetA, AssA, LocA, IDF1 and MOTA.
        differences: the same for all models but the first, minus those of the first.
        gains: by video id, what AP each model would gain if its predictions there were perfect;
            first the videos where the models differ most.
    """

    figures: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    gains: dict[int, dict[str, float]]


def compare(metrics: Mapping[str, Metrics], resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare models.

    Args:
        metrics: by model, computed with ``hota`` from the same ground truth.
        resamples: number of bootstrap resamples.
        seed: of the draws.

    Raises:
        AnnotationError: if there are no objects, or fewer than two videos.
    """
    first, *others = metrics
    videos = [x.video_id for x in metrics[first].videos]
    if len(videos) < 2:
        raise AnnotationError("confidence intervals over videos need at least two videos")
    if metrics[first].as_dict()["AP"] is None:
        raise AnnotationError("there are no annotated objects to compare on")
    drawn = {name: draw_figures(x, resamples, seed) for name, x in metrics.items()}
    by_video = {name: ap_gains(x) for name, x in metrics.items()}
    gains = {video: {name: x[video] for name, x in by_video.items()} for video in videos}
    spread = {video: max(x.values()) - min(x.values()) for video, x in gains.items()}
    return Comparison(
        {name: {k: interval(v, len(videos)) for k, v in x.items()} for name, x in drawn.items()},
        {
            name: {k: interval(v - drawn[first][k], len(videos)) for k, v in drawn[name].items()}
            for name in others
        },
        dict(sorted(gains.items(), key=lambda x: -spread[x[0]])),
    )


def draw_figures(metrics: Metrics, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """(1 + B,) the figures of all videos, and those of B resamples. A seed draws the same videos
    for all models."""
    number = len(metrics.videos)
    weights = np.vstack([np.ones(number, int), draw_weights(number, resamples, seed)])
    return resampled_figures(metrics, weights)


def interval(drawn: np.ndarray, videos: int) -> Interval:
    """The 95 % interval of a figure or difference, from (1 + B,) values as of ``draw_figures``."""
    # Imported late because it takes time.
    from scipy.special import stdtrit

    error = np.nanstd(drawn[1:], ddof=1) * np.sqrt(videos / (videos - 1))
    margin = float(stdtrit(videos - 1, 0.975) * error)
    return Interval(float(drawn[0]), float(drawn[0]) - margin, float(drawn[0]) + margin)
