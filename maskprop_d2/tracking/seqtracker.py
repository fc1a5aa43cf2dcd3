"""SeqTracker: the best paths through all detections of a video, as Seq-NMS finds them (offline)."""

import numpy as np

from ..ops.soft_iou import pairwise_soft_iou
from ..structures import Frame, TrackedFrame
from .base import Linking, TrackerFactory
from .memory import labels


def build(linking: Linking) -> TrackerFactory:
    """See ``build_tracker``. A detection is always on one path alone."""
    return lambda network: SeqTracker(linking.threshold)


class SeqTracker:
    """Detections of neighbouring frames may follow each other if they are of one category and
    their masks overlap. The path with the highest sum of detection scores and of overlaps is the
    first track; then the best without its detections; and so on.

    It is an offline method: ids are known at the end of the video, so that all its frames wait
    for them. Its own memory is a small table a frame.
    """

    clip_radius = 0

    def __init__(self, threshold: float):
        """``threshold``: IoU of binary masks above which one may follow the other."""
        self._threshold = threshold
        self._previous: Frame | None = None
        self._scores: list[np.ndarray] = []
        self._links: list[np.ndarray] = []

    def add(self, frame: Frame) -> list[TrackedFrame]:
        """See ``Tracker.add``."""
        self._scores.append(frame.output.scores.double().cpu().numpy())
        self._links.append(self._link_values(self._previous or frame, frame))
        self._previous = frame
        return []

    def finish(self) -> list[TrackedFrame]:
        """See ``Tracker.finish``."""
        ids = best_paths(self._scores, self._links)
        return [TrackedFrame(t, x.tolist()) for t, x in enumerate(ids)]

    def _link_values(self, before: Frame, after: Frame) -> np.ndarray:
        """(N, M) the IoU of each two detections, -inf where one may not follow the other."""
        masks = [(x.output.grid_masks > 0.5).flatten(1).float() for x in (before, after)]
        overlaps = pairwise_soft_iou(*masks)
        may_follow = labels(before)[:, None] == labels(after)
        may_follow &= overlaps > self._threshold
        return overlaps.masked_fill(~may_follow, -np.inf).double().cpu().numpy()


def best_paths(scores: list[np.ndarray], links: list[np.ndarray]) -> list[np.ndarray]:
    """Divide the nodes of all frames into paths: the best, the best of what is left, and so on.

    Args:
        scores: of each frame the (N,) scores of its nodes.
        links: of each frame the (M, N) values of steps to its nodes from the M nodes of the frame
            before, -inf where there is no way. The first frame's are not used.

    Returns:
        of each frame the (N,) indices of its nodes' paths, best path first.
    """
    scores = [x.copy() for x in scores]
    ids = [np.full(len(x), -1) for x in scores]
    # Of each node: value of the best path that ends there, and its place in the frame before.
    values = [np.full(len(x), np.nan) for x in scores]
    origins = [np.full(len(x), -1) for x in scores]
    ends = np.full(len(scores), -np.inf)
    first, last = 0, len(scores) - 1
    path = 0
    while True:
        for t in range(first, len(scores)):
            before = values[t - 1] if t else values[0][:0]
            value, origins[t] = _extend(before, links[t][: len(before)], scores[t])
            if t > last and np.array_equal(value, values[t]):
                # Nothing changes from here on.
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
            node = origins[first][node]
            if node < 0:
                break
            first -= 1
        path += 1


def _extend(
    before: np.ndarray, links: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of the dynamic programme: values and origins of a frame's nodes, from the values of
    the frame before. An origin of -1: the path begins here."""
    totals = before[:, None] + links
    gains = totals.max(0, initial=0.0)
    origins = np.where(gains > 0, totals.argmax(0), -1) if len(before) else np.full(len(scores), -1)
    return scores + gains, origins
