"""HOTA, and IDF1 and MOTA over masks, in figures equal to those of trackeval's YouTube-VIS class.

HOTA (Luiten et al., IJCV 2021) matches masks frame by frame, and is at each of 19 IoU thresholds
the geometric mean of DetA, how many masks are matched, and AssA, how well the matched masks keep
their identity over the video. LocA is the mean IoU of the matched masks.

All predictions count, whatever their score, and crowds count as objects: this is how trackeval
reads YouTube-VIS.

Letters: A thresholds (19), L frames, P predictions, G objects of one category in one video.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from .overlap import Overlaps
from .tracks import Track

ALPHAS = np.arange(0.05, 0.99, 0.05)
EPSILON = np.finfo(float).eps
KEEPS_PAIR = 1000  # Outweighs all IoUs of a frame together.


@dataclass
class TrackingCounts:
    """What the figures are computed from: all of it can be summed over videos and categories.

    Attributes:
        object_masks, predicted_masks: how many there are, over all frames.
        matched: (A,) number of matched masks.
        iou_sum: (A,) sum of their IoUs.
        association_sum: (A,) sum of their association scores, A(c) in the paper.
        id_matched: number of masks that agree if each prediction is assigned to one object (IDTP).
        clear_matched, switches: matched masks and ID switches, as CLEAR MOT counts them.
    """

    object_masks: int
    predicted_masks: int
    matched: np.ndarray
    iou_sum: np.ndarray
    association_sum: np.ndarray
    id_matched: int
    clear_matched: int
    switches: int


def tracking_counts(
    overlaps: Overlaps, predictions: list[Track], truth: list[Track], order: list[int]
) -> TrackingCounts:
    """Match the masks of one category in one video.

    Args:
        overlaps: of ``predictions`` and ``truth``.
        predictions: in any order.
        truth: in file order.
        order: the indices of the predictions in file order, which decides between assignments that
            are equally good.
    """
    # trackeval's layout: objects before predictions.
    ious = np.ascontiguousarray(overlaps.frame_ious()[:, order].swapaxes(1, 2))
    # An empty mask is a mask here.
    seen_truth, seen = (
        np.array([[x is not None for x in track.counts] for track in tracks], bool)
        .reshape(-1, len(ious))
        .T
        for tracks in (truth, [predictions[i] for i in order])
    )
    frames = seen_truth.sum(0)[:, None] + seen.sum(0)
    t, g, p = _match_masks(_alignment(ious, frames) * ious, seen_truth, seen)
    pair_ious = ious[t, g, p]
    a, pair = np.nonzero(pair_ious >= ALPHAS[:, None] - EPSILON)
    counts = np.zeros((len(ALPHAS), *frames.shape))
    np.add.at(counts, (a, g[pair], p[pair]), 1)
    together = (ious >= 0.5).sum(0)
    whole = [np.ones((1, n), bool) for n in frames.shape]
    _, g, p = _match_masks(together[None], *whole)
    return TrackingCounts(
        int(seen_truth.sum()),
        int(seen.sum()),
        np.bincount(a, minlength=len(ALPHAS)),
        np.bincount(a, pair_ious[pair], len(ALPHAS)),
        (counts**2 / np.maximum(1, frames - counts)).sum((1, 2)),
        int(together[g, p].sum()),
        *_clear_counts(ious, seen_truth, seen),
    )


def _alignment(ious: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(G, P) how well each prediction follows each object over the whole video, from (L, G, P)
    IoUs and the (G, P) sums of their numbers of frames."""
    rivals = ious.sum(1, keepdims=True) + ious.sum(2, keepdims=True) - ious
    shares = np.divide(ious, rivals, out=np.zeros_like(ious), where=rivals > EPSILON).sum(0)
    return np.divide(shares, frames - shares, out=np.zeros_like(shares), where=shares > 0)


def _match_masks(
    values: np.ndarray, seen_truth: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair objects and predictions in each frame such that the sum of values is largest.

    Args:
        values: (L, G, P), from 0.
        seen_truth, seen: (L, G) and (L, P), where objects and predictions have a mask.

    Returns:
        frame, object and prediction of each pair with a value above 0, in no order.
    """
    best = (values > 0) & (values == values.max(2, keepdims=True, initial=0))
    # Mostly, each object has a best prediction of its own: there is nothing else to solve.
    solved = (best.sum(2) <= 1).all(1) & (best.sum(1) <= 1).all(1)
    pairs = [np.stack(np.nonzero(best & solved[:, None, None]))]
    for t in np.flatnonzero(~solved):
        g, p = _assign_seen(values[t], seen_truth[t], seen[t])
        pairs.append(np.stack([np.full_like(g, t), g, p]))
    t, g, p = np.concatenate(pairs, axis=1)
    return t, g, p


def _assign_seen(
    table: np.ndarray, seen_truth: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Objects and predictions of the one-to-one assignment of one frame with the largest sum of the
    (G, P) values, without pairs of value 0; ``seen_truth`` (G,) and ``seen`` (P,) have a mask."""
    rivals = np.flatnonzero(table.any(1))
    if len(rivals) <= 3:
        columns = _assign_few(table[rivals])
        if columns is not None:
            return rivals[columns >= 0], columns[columns >= 0]
    # Imported late: this takes as long as scoring a small file.
    from scipy.optimize import linear_sum_assignment

    g, p = np.flatnonzero(seen_truth), np.flatnonzero(seen)
    rows, columns = linear_sum_assignment(table[np.ix_(g, p)], maximize=True)
    chosen = table[g[rows], p[columns]] > 0
    return g[rows[chosen]], p[columns[chosen]]


def _assign_few(table: np.ndarray) -> np.ndarray | None:
    """(G,) the prediction of each of a few objects, -1 for none, in the assignment with the largest
    sum of the (G, P) values; None if others are about as good."""
    # Each object gets one of its G best predictions, since the others take fewer. The one after
    # them shows whether others are as good.
    number = len(table) + 1
    best = [[-1, *(p for p in np.argsort(-row)[:number] if row[p] > 0)] for row in table]
    totals = []
    for columns in itertools.product(*best):
        taken = [p for p in columns if p >= 0]
        if len(set(taken)) == len(taken):
            totals.append((sum(table[g, p] for g, p in enumerate(columns) if p >= 0), columns))
    totals.sort(reverse=True)
    alone = len(totals) == 1 or totals[0][0] - totals[1][0] > 1e-9
    return np.array(totals[0][1]) if alone else None


def _clear_counts(ious: np.ndarray, seen_truth: np.ndarray, seen: np.ndarray) -> tuple[int, int]:
    """The matched masks and ID switches of CLEAR MOT, from (L, G, P) IoUs.

    Objects stay with the prediction of the frame before if they agree; the others are matched such
    that the sum of IoUs is largest. Frames without any object or prediction are skipped."""
    values = ious * (ious >= 0.5 - EPSILON)
    agree = values > 0
    unrivalled = (agree.sum(2) <= 1).all(1) & (agree.sum(1) <= 1).all(1)
    before = np.full(ious.shape[1], -1)
    last = before.copy()
    matched = switches = 0
    for t in np.flatnonzero(seen_truth.any(1) & seen.any(1)):
        if unrivalled[t]:
            g, p = np.nonzero(agree[t])
        else:
            kept = agree[t] & (before[:, None] == np.arange(len(seen[t])))
            now = slice(t, t + 1)
            table = values[now] + KEEPS_PAIR * kept
            _, g, p = _match_masks(table, seen_truth[now], seen[now])
        matched += len(g)
        switches += int(((last[g] >= 0) & (last[g] != p)).sum())
        last[g] = p
        before[:] = -1
        before[g] = p
    return matched, switches
