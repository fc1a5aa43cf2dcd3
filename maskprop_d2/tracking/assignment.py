"""Giving the detections of one frame their ids, from a table of matching scores."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class IdAssigner:
    """Takes over the ids that match, and makes new ones, counted from 0, for the rest."""

    def __init__(self, threshold: float, exclusive: bool):
        """
        Args:
            threshold: a score must be greater than this to match.
            exclusive: whether an id is given at most once in a frame, so that the sum of the
                scores is greatest (Hungarian method); else each detection takes its best.
        """
        self.threshold = threshold
        self.exclusive = exclusive
        self._next_id = 0

    def assign(self, scores: Tensor, known_ids: Sequence[int]) -> list[int]:
        """
        Args:
            scores: (N, Y) how well each detection matches each known id.
            known_ids: the Y ids.

        Returns:
            the ids of the N detections.
        """
        table = scores.double().cpu().numpy()
        # What does not match must not push aside what does.
        table = np.where(table > self.threshold, table, 0.0)
        if self.exclusive:
            matched = dict(zip(*linear_sum_assignment(table, maximize=True), strict=True))
        else:
            matched = dict(enumerate(table.argmax(1))) if known_ids else {}
        ids = []
        for row in range(len(table)):
            if row in matched and table[row, matched[row]] > self.threshold:
                ids.append(known_ids[matched[row]])
            else:
                ids.append(self._next_id)
                self._next_id += 1
        return ids


def assign_best_first(scores: Tensor, new_scores: Tensor) -> list[int | None]:
    """Pairs of rows and columns by falling score, each in one pair at most.

    A row that loses its best column to a better row may have its next best, as long as that beats
    its score for having none.

    Args:
        scores: (N, Y) of each row with each column.
        new_scores: (N,) of each row for having no column.

    Returns:
        for each row its column, or None.
    """
    table = scores.double().cpu().numpy()
    rows, columns = np.nonzero(table > new_scores.double().cpu().numpy()[:, None])
    taken: list[int | None] = [None] * len(table)
    for i in np.argsort(-table[rows, columns], kind="stable"):
        row, column = int(rows[i]), int(columns[i])
        if taken[row] is None and column not in taken:
            taken[row] = column
    return taken
