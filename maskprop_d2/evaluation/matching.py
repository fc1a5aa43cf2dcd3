"""Which predictions of a category find an object of one video, as the official code has it.

Letters: A area ranges (4), I IoU thresholds (10), P predictions, G ground truths.
"""

from dataclasses import dataclass

import numpy as np

from .tracks import Track

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA_RANGES = {
    "all": (0, 1e5**2),
    "small": (0, 128**2),
    "medium": (128**2, 256**2),
    "large": (256**2, 1e5**2),
}


@dataclass
class Matches:
    """The predictions of one category in one video, at every area range and IoU threshold.

    Attributes:
        scores: (P,) falling.
        hit: (A, I, P) bool, whether a prediction has found an object.
        left_out: (A, I, P) bool, whether a prediction is not counted, as hit or as miss.
        objects: (A,) number of ground truths that count.
    """

    scores: np.ndarray
    hit: np.ndarray
    left_out: np.ndarray
    objects: np.ndarray


def match(ious: np.ndarray, predictions: list[Track], truth: list[Track]) -> Matches:
    """Greedy matching: by falling score each prediction takes the free ground truth with the
    largest IoU that reaches the threshold.

    Ground truths outside the area range and crowds are ignored: they are taken only by
    predictions that find no other, which then do not count; a crowd is never used up. Of equal
    IoUs the last in file order is taken.

    Args:
        ious: (P, G) video IoUs.
        predictions: by falling score.
        truth: in file order.
    """
    low, high = np.array(list(AREA_RANGES.values())).T[:, :, None]
    truth_areas = np.array([x.average_area for x in truth])
    crowd = np.array([x.is_crowd for x in truth], dtype=bool)
    ignored = crowd | (truth_areas < low) | (truth_areas > high)
    thresholds = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)

    shape = (len(AREA_RANGES), len(thresholds))
    hit = np.zeros((*shape, len(predictions)), dtype=bool)
    left_out = np.zeros_like(hit)
    free = np.ones((*shape, len(truth)), dtype=bool)
    # All others reach no threshold.
    for p in np.flatnonzero((ious >= thresholds[0]).any(1)) if truth else []:
        reaches = free & (ious[p] >= thresholds[:, None])
        # IoUs are at most 1, so that any ground truth that counts comes before all others.
        rank = np.where(reaches, ious[p] + 2 * ~ignored[:, None], 0)
        best = len(truth) - 1 - rank[..., ::-1].argmax(-1)
        found = np.take_along_axis(reaches, best[..., None], -1)[..., 0]
        hit[..., p] = found
        left_out[..., p] = found & np.take_along_axis(ignored, best, 1)
        a, i = np.nonzero(found & ~crowd[best])
        free[a, i, best[a, i]] = False
    areas = np.array([x.average_area for x in predictions])
    left_out |= ~hit & ((areas < low) | (areas > high))[:, None]
    scores = np.array([x.score for x in predictions])
    return Matches(scores, hit, left_out, (~ignored).sum(1))
