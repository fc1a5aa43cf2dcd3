"""Whether objects that come back after they were hidden keep their ID.

A reappearance: an object is seen, hidden for at least ``HIDDEN_FRAMES`` frames, and seen again. Its
ID in each of the two times that it is seen is the prediction that it is paired with in most frames,
paired as for ID switches (``identity.py``). The object is found if it has an ID both before and
after, and keeps its ID if they are the same.

Only IDs matter here: predictions count whatever their category and score. A track that breaks off
at a gap has low scores in both parts, and would often not be found above a score threshold.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from .identity import frame_pairs, pair_frames
from .overlap import Overlaps
from .tracks import Track, Video

HIDDEN_FRAMES = 15


def reappearances(video: Video, predictions: list[Track]) -> Iterator[tuple[bool, bool]]:
    """Find the reappearances of all objects of a video.

    Yields:
        whether the object is found, and whether it keeps its ID.
    """
    returns = [_returns(x) for x in video.objects]
    if not any(len(x) for x in returns):
        return
    # From one return to the next, in how many frames each prediction is paired with the object.
    stays = [[Counter[int]() for _ in range(len(x) + 1)] for x in returns]
    pairs = frame_pairs(Overlaps(video, predictions, video.truth), predictions, video.truth)
    for t, prediction, which, _ in pair_frames(pairs, -np.inf):
        stays[which][np.searchsorted(returns[which], t, side="right")][prediction] += 1
    for counters in stays:
        ids = [x.most_common(1)[0][0] if x else None for x in counters]
        for before, after in pairwise(ids):
            found = before is not None and after is not None
            yield found, found and before == after


def _returns(track: Track) -> np.ndarray:
    """(R,) the frames in which an object comes back."""
    seen = np.flatnonzero(track.areas)
    return seen[1:][np.diff(seen) > HIDDEN_FRAMES]


def reappearance_measures(cases: Iterable[tuple[bool, bool]]) -> dict[str, float | int | None]:
    """The number of ``reappearances``, and in what percentage of them the object is found,
    ``reappearances_found``, and keeps its ID, ``reappearances_kept`` (None without any)."""
    table = np.array(list(cases), float).reshape(-1, 2)
    found, kept = (100 * table.mean(0)).tolist() if len(table) else (None, None)
    return {
        "reappearances": len(table),
        "reappearances_found": found,
        "reappearances_kept": kept,
    }
