"""Matching the predictions and objects of one category in one video, as the official code does.

Letters: A area ranges (4), I IoU thresholds (10), P predictions, G ground truth objects.
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
    """The predictions of one category in one video, for each area range and IoU threshold.

    Attributes:
        scores: (P,) in falling order.
        matched: (A, I, P) bool, whether a prediction is matched to an object.
        ignored: (A, I, P) bool, whether a prediction counts neither as true nor as false positive.
        num_objects: (A,) number of objects that count.
        found: (A, I, G) bool, whether a prediction matches an object (crowds: never).
    """

    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    num_objects: np.ndarray
    found: np.ndarray


def match(ious: np.ndarray, predictions: list[Track], truth: list[Track]) -> Matches:
    """Match greedily: by falling score, each prediction takes the free object with the largest IoU
    at or above the threshold, of equal IoUs the last in file order.

    Crowds and objects outside the area range are ignored: only predictions that match no other
    object match them, and are then ignored too. A crowd can be matched any number of times.

    Args:
        ious: (P, G) video IoUs.
        predictions: by falling score.
        truth: in file order.
    """
    low, high = np.array(list(AREA_RANGES.values())).T[:, :, None]
    truth_areas = np.array([x.average_area for x in truth])
    crowd = np.array([x.is_crowd for x in truth], dtype=bool)
    ignored_truth = crowd | (truth_areas < low) | (truth_areas > high)
    thresholds = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)

    shape = (len(AREA_RANGES), len(thresholds))
    matched = np.zeros((*shape, len(predictions)), dtype=bool)
    ignored = np.zeros_like(matched)
    free = np.ones((*shape, len(truth)), dtype=bool)
    # The other predictions reach no threshold.
    for p in np.flatnonzero((ious >= thresholds[0]).any(1)) if truth else []:
        reaches = free & (ious[p] >= thresholds[:, None])
        # IoUs are at most 1, so that any object that counts ranks before all ignored ones.
        rank = np.where(reaches, ious[p] + 2 * ~ignored_truth[:, None], 0)
        best = len(truth) - 1 - rank[..., ::-1].argmax(-1)
        found = np.take_along_axis(reaches, best[..., None], -1)[..., 0]
        matched[..., p] = found
        ignored[..., p] = found & np.take_along_axis(ignored_truth, best, 1)
        a, i = np.nonzero(found & ~crowd[best])
        free[a, i, best[a, i]] = False
    areas = np.array([x.average_area for x in predictions])
    ignored |= ~matched & ((areas < low) | (areas > high))[:, None]
    scores = np.array([x.score for x in predictions])
    return Matches(scores, matched, ignored, (~ignored_truth).sum(1), ~free)
