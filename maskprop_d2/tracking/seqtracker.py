"""SeqTracker: the best paths through all detections of a video, found as in Seq-NMS (offline)."""

import numpy as np

from ..structures import Frame, TrackedFrame
from .base import FrameNetwork, Tracker
from .matching import mask_iou


class SeqTracker(Tracker):
    """Tracks are paths through detections of one category whose masks overlap from frame to frame.

    The path with the highest sum of detection scores and mask IoUs is the first track, the best
    path through the remaining detections the second, and so on. Ids are known at the end of the
    video. Until then the tracker keeps a small table per frame.
    """

    def __init__(self, network: FrameNetwork, *, threshold: float = 0.03):
        """``threshold``: mask IoU above which a detection may follow another."""
        super().__init__(network)
        self._threshold = threshold
        self._previous: Frame | None = None
        self._scores: list[np.ndarray] = []
        self._links: list[np.ndarray] = []

    def add(self, frame: Frame) -> list[TrackedFrame]:
        before, after = (self._previous or frame).output, frame.output
        overlap = mask_iou(before.grid_masks, after.grid_masks)
        allowed = (before.labels[:, None] == after.labels) & (overlap > self._threshold)
        self._scores.append(after.scores.double().cpu().numpy())
        self._links.append(overlap.masked_fill(~allowed, -np.inf).double().cpu().numpy())
        self._previous = frame
        return []

    def finish(self) -> list[TrackedFrame]:
        ids = best_paths(self._scores, self._links)
        return [TrackedFrame(t, x.tolist()) for t, x in enumerate(ids)]


def best_paths(scores: list[np.ndarray], links: list[np.ndarray]) -> list[np.ndarray]:
    """Partition the nodes of all frames into paths: the best, the best of the rest, and so on.

    Args:
        scores: for each frame the (N,) scores of its nodes.
        links: for each frame the (M, N) values of steps from the M nodes of the previous frame to
            its nodes; -inf where there is no step. Those of the first frame are not used.

    Returns:
        for each frame the (N,) indices of its nodes' paths, best path first.
    """
    scores = [x.copy() for x in scores]
    ids = [np.full(len(x), -1) for x in scores]
    # For each node the value of the best path that ends in it, and its predecessor on that path.
    values = [np.full(len(x), np.nan) for x in scores]
    predecessors = [np.full(len(x), -1) for x in scores]
    ends = np.full(len(scores), -np.inf)
    first, last = 0, len(scores) - 1
    path = 0
    while True:
        for t in range(first, len(scores)):
            before = values[t - 1] if t else values[0][:0]
            value, predecessors[t] = _extend(before, links[t][: len(before)], scores[t])
            if t > last and np.array_equal(value, values[t]):
                # Later frames do not change.
                break
            values[t] = value
            ends[t] = value.max(initial=-np.inf)
        last = int(ends.argmax()) if len(ends) else 0
        if not len(ends) or ends[last] == -np.inf:
            return ids
        first, node = last, int(values[last].argmax())
        while True:
            ids[first][node] = path
            scores[first][node] = -np.inf
            node = predecessors[first][node]
            if node < 0:
                break
            first -= 1
        path += 1


def _extend(
    before: np.ndarray, links: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of the dynamic programme: (N,) values and predecessors (-1: a path starts) of nodes,
    from the (M,) values of the nodes before, (M, N) links and (N,) scores."""
    if not len(before):
        return scores, np.full(len(scores), -1)
    totals = before[:, None] + links
    gains = totals.max(0, initial=0.0)
    return scores + gains, np.where(gains > 0, totals.argmax(0), -1)
