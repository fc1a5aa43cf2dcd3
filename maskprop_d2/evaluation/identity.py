"""Measures of identity: how well predictions keep to one object, apart from AP.

A prediction and an object of the same category agree in a frame where their masks' IoU is at
least ``AGREEMENT``.

- IDF1 (Ristani et al., ECCVW 2016): predictions are given to objects one to one, for a whole
  video, so that they agree in as many frames as possible, IDTP. IDF1 = 2 IDTP / (frames of
  objects + frames of predictions), over all videos and categories.
- ID switches (CLEAR MOT, Bernardin and Stiefelhagen, 2008): in each frame objects and predictions
  that agree are paired one to one: first those that were paired last, then so that the sum of
  IoUs is greatest. An object that is paired with another prediction than last time has switched.

Both depend on which predictions are taken for true. It is the score threshold with the best IDF1
over all videos. Crowds are no objects, and a prediction is not counted in frames where it agrees
with one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .overlap import frame_ious, track_areas
from .tracks import Track, Video

AGREEMENT = 0.5
MAX_THRESHOLDS = 50


@dataclass
class FramePairs:
    """Where the P predictions and G objects of one category in one video agree.

    Attributes:
        scores: (P,) falling.
        seen: (P,) number of frames in which each prediction counts.
        object_frames: number of frames of all objects together.
        frame, prediction, object, iou: of each agreement, by rising frame.
        shape: P, G.
    """

    scores: np.ndarray
    seen: np.ndarray
    object_frames: int
    frame: np.ndarray
    prediction: np.ndarray
    object: np.ndarray
    iou: np.ndarray
    shape: tuple[int, int]


def frame_pairs(
    video: Video, predictions: list[Track], truth: list[Track], intersections: np.ndarray
) -> FramePairs:
    """Find the agreements.

    Args:
        video: theirs.
        predictions: of one category, by falling score.
        truth: of that category.
        intersections: (L, P, G) as of ``overlap.frame_intersections``.
    """
    ious = frame_ious(video, predictions, truth, intersections)
    crowd = np.array([x.is_crowd for x in truth], dtype=bool)
    in_crowd = (ious[:, :, crowd] >= AGREEMENT).any(2).T
    objects = [x for x in truth if not x.is_crowd]
    ious = ious[:, :, ~crowd]
    frame, prediction, which = np.nonzero(ious >= AGREEMENT)
    return FramePairs(
        scores=np.array([x.score for x in predictions]),
        seen=((track_areas(video, predictions) > 0) & ~in_crowd).sum(1),
        object_frames=int((track_areas(video, objects) > 0).sum()),
        frame=frame,
        prediction=prediction,
        object=which,
        iou=ious[frame, prediction, which],
        shape=(len(predictions), len(objects)),
    )


def identity_measures(pairs: Iterable[FramePairs]) -> dict[str, float | int | None]:
    """IDF1 in percent, None where there is no object and no prediction; the number of ID
    switches; and the score threshold at which they are counted, the lowest of the best, None
    without predictions."""
    pairs = list(pairs)
    scores = np.unique(np.concatenate([np.zeros(0), *(x.scores for x in pairs)]))
    if len(scores) > MAX_THRESHOLDS:
        scores = scores[np.linspace(0, len(scores) - 1, MAX_THRESHOLDS).astype(int)]
    if not len(scores):
        has_objects = any(x.object_frames for x in pairs)
        return {"IDF1": 0.0 if has_objects else None, "ID_switches": 0, "score_threshold": None}
    idf1 = [_idf1(pairs, threshold) for threshold in scores]
    best = float(scores[int(np.argmax(idf1))])
    return {**measures_at(pairs, best), "score_threshold": best}


def measures_at(pairs: list[FramePairs], threshold: float) -> dict[str, float | int]:
    """IDF1 in percent, 0 where there is no object and no prediction, and the number of ID switches
    of the predictions that reach a score threshold."""
    switches = sum(switched for x in pairs for *_, switched in pair_frames(x, threshold))
    return {"IDF1": 100 * _idf1(pairs, threshold), "ID_switches": switches}


def _idf1(pairs: list[FramePairs], threshold: float) -> float:
    agreeing, frames = 0, 0
    for pair in pairs:
        number = int((pair.scores >= threshold).sum())
        frames += pair.object_frames + int(pair.seen[:number].sum())
        together = np.zeros(pair.shape, int)
        np.add.at(together, (pair.prediction, pair.object), 1)
        agreeing += sum(together[p, g] for p, g in one_to_one(together[:number]))
    return float(2 * agreeing / frames) if frames else 0.0


def pair_frames(pairs: FramePairs, threshold: float) -> Iterator[tuple[int, int, int, bool]]:
    """Pair objects and predictions frame by frame, as the number of ID switches counts them.

    Args:
        pairs: where they agree.
        threshold: the least score of a prediction that takes part.

    Yields:
        frame, prediction, object, and whether the object has switched to this prediction.
    """
    number = int((pairs.scores >= threshold).sum())
    last: dict[int, int] = {}
    for t in np.unique(pairs.frame):
        now = (pairs.frame == t) & (pairs.prediction < number)
        table = np.zeros((number, pairs.shape[1]))
        table[pairs.prediction[now], pairs.object[now]] = pairs.iou[now]
        for which, prediction in last.items():
            # More than all IoUs of a frame together.
            table[prediction, which] += len(table) * (table[prediction, which] > 0)
        for prediction, which in one_to_one(table):
            yield int(t), prediction, which, last.get(which, prediction) != prediction
            last[which] = prediction


def one_to_one(table: np.ndarray) -> list[tuple[int, int]]:
    """Rows and columns of the one to one assignment with the greatest sum, without those pairs
    that add nothing to it.

    Args:
        table: (P, G) from 0.
    """
    # Loaded only where it is needed: it takes longer than scoring a small file.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    chosen = table[rows, columns] > 0
    return list(zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True))
