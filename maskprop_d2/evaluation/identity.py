"""Identity measures: how consistently predictions follow the objects, beside AP.

A prediction and an object of the same category agree in a frame if the IoU of their masks there is
at least ``AGREEMENT``.

- IDF1 (Ristani et al., ECCVW 2016): predictions are assigned to objects one to one for a whole
  video, such that they agree in as many frames as possible, IDTP. IDF1 = 2 IDTP / (frames of
  objects + frames of predictions), over all videos and categories.
- ID switches (CLEAR MOT, Bernardin and Stiefelhagen, 2008): in each frame, objects and predictions
  that agree are paired one to one: first those that were paired last, then such that the sum of
  IoUs is largest. An object that is paired with another prediction than last time has switched.

Both count the predictions above a score threshold: the one with the best IDF1 over all videos.
Crowds are not objects, and predictions do not count in frames where they agree with a crowd.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .overlap import Overlaps
from .tracks import Track

AGREEMENT = 0.5
MAX_THRESHOLDS = 50


@dataclass
class FramePairs:
    """Where the P predictions and G objects of one category in one video agree.

    Attributes:
        scores: (P,) in falling order.
        lengths: (P,) number of frames in which each prediction counts.
        object_frames: number of frames in which objects are seen, summed over the objects.
        frame, prediction, object, iou: of each agreement, by rising frame.
        num_objects: G.
    """

    scores: np.ndarray
    lengths: np.ndarray
    object_frames: int
    frame: np.ndarray
    prediction: np.ndarray
    object: np.ndarray
    iou: np.ndarray
    num_objects: int


def frame_pairs(overlaps: Overlaps, predictions: list[Track], truth: list[Track]) -> FramePairs:
    """Find all agreements of the predictions and objects of one category, by falling score."""
    ious, in_crowd = split_crowds(overlaps, truth)
    frame, prediction, which = np.nonzero(ious >= AGREEMENT)
    return FramePairs(
        scores=np.array([x.score for x in predictions]),
        lengths=((overlaps.areas > 0) & ~in_crowd).sum(1),
        object_frames=sum(int((x.areas > 0).sum()) for x in truth if not x.is_crowd),
        frame=frame,
        prediction=prediction,
        object=which,
        iou=ious[frame, prediction, which],
        num_objects=ious.shape[2],
    )


def split_crowds(overlaps: Overlaps, truth: list[Track]) -> tuple[np.ndarray, np.ndarray]:
    """(L, P, G) per-frame IoUs with the objects that are no crowds, and (P, L) bool, where
    predictions agree with a crowd."""
    ious = overlaps.frame_ious()
    crowd = np.array([x.is_crowd for x in truth], dtype=bool)
    return ious[:, :, ~crowd], (ious[:, :, crowd] >= AGREEMENT).any(2).T


def identity_measures(pairs: Iterable[FramePairs]) -> dict[str, float | int | None]:
    """``IDF1`` in percent (None without objects and predictions), ``ID_switches``, and the
    ``score_threshold`` at which they are counted, the lowest of the best ones (None without
    predictions)."""
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
    """``IDF1`` in percent, 0 without objects and predictions, and ``ID_switches`` of the
    predictions with at least this score."""
    switches = sum(switched for x in pairs for *_, switched in pair_frames(x, threshold))
    return {"IDF1": 100 * _idf1(pairs, threshold), "ID_switches": switches}


def _idf1(pairs: list[FramePairs], threshold: float) -> float:
    agreeing, frames = 0, 0
    for pair in pairs:
        number = int((pair.scores >= threshold).sum())
        frames += pair.object_frames + int(pair.lengths[:number].sum())
        agreements = np.zeros((len(pair.scores), pair.num_objects), int)
        np.add.at(agreements, (pair.prediction, pair.object), 1)
        agreeing += sum(agreements[p, g] for p, g in assign(agreements[:number]))
    return float(2 * agreeing / frames) if frames else 0.0


def pair_frames(pairs: FramePairs, threshold: float) -> Iterator[tuple[int, int, int, bool]]:
    """Pair objects and predictions frame by frame, as ID switches are counted, without predictions
    scored below the threshold.

    Yields:
        frame, prediction, object, and whether the object has switched to this prediction.
    """
    number = int((pairs.scores >= threshold).sum())
    last: dict[int, int] = {}
    for t in np.unique(pairs.frame):
        now = (pairs.frame == t) & (pairs.prediction < number)
        table = np.zeros((number, pairs.num_objects))
        table[pairs.prediction[now], pairs.object[now]] = pairs.iou[now]
        for which, prediction in last.items():
            # Outweighs all IoUs of the frame together.
            table[prediction, which] += len(table) * (table[prediction, which] > 0)
        for prediction, which in assign(table):
            yield int(t), prediction, which, last.get(which, prediction) != prediction
            last[which] = prediction


def assign(table: np.ndarray) -> list[tuple[int, int]]:
    """The rows and columns of the one-to-one assignment with the largest sum, without pairs that
    add nothing to it, for a (P, G) table of values from 0."""
    # Imported late: this takes longer than scoring a small file.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    chosen = table[rows, columns] > 0
    return list(zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True))
