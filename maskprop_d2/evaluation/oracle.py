"""Replacing one part of the predictions by the ground truth, to see what that part costs.

In each, crowds are left alone, and an overlap (IoU) below ``SAME_OBJECT`` is none: such a mask is
taken for a false detection, not for a bad one of that object. (The value is that of TIDE, Bolya
et al., ECCV 2020.) What matches no object stays as it is.
"""

from dataclasses import replace

import numpy as np

from .overlap import frame_intersections, frame_ious, video_ious
from .tracks import Track, Video, average_area

SAME_OBJECT = 0.1


def perfect_tracking(video: Video, predictions: list[Track]) -> list[Track]:
    """Link the masks of each frame by the identities of the ground truth.

    A mask belongs to the object of its track's category that it overlaps most in its frame. All
    masks that belong to an object become one track of it: in each frame the mask of the track
    with the best score, and as its score the mean of theirs. Masks that belong to no object, or
    are not the best of theirs, stay in the tracks where they were. Masks and categories are
    those predicted.

    Args:
        video: with its ground truth.
        predictions: its predicted tracks.

    Returns:
        new tracks.
    """
    linked = []
    for category_id in sorted({x.category_id for x in predictions}):
        mine = sorted(
            (x for x in predictions if x.category_id == category_id), key=lambda x: -x.score
        )
        truth = [x for x in _objects(video) if x.category_id == category_id]
        owners = _owners(video, mine, truth)
        # (G, L) the prediction whose mask an object gets, the number of predictions for none.
        givers = np.full((len(truth), video.length), len(mine))
        for p in reversed(range(len(mine))):
            t = np.flatnonzero(owners[:, p] >= 0)
            givers[owners[t, p], t] = p
        for giver in givers:
            frames = np.flatnonzero(giver < len(mine))
            if len(frames):
                linked.append(_joined(mine, giver, frames))
        for p, track in enumerate(mine):
            given = (givers == p).any(0)
            counts = [None if x else y for x, y in zip(given, track.counts, strict=True)]
            if any(counts):
                linked.append(_with_masks(track, counts, np.where(given, 0, track.areas)))
    return linked


def perfect_classification(video: Video, predictions: list[Track]) -> list[Track]:
    """Give each track the category of the object of the ground truth that it overlaps most, over
    the whole video. Of tracks that are then the same (one track reported under several
    categories), that with the best score stays.

    Args, returns: as ``perfect_tracking``.
    """
    truth = _objects(video)
    shared = frame_intersections(video, predictions, truth)
    ious = video_ious(video, predictions, truth, shared)
    kept: dict[tuple[object, ...], Track] = {}
    for p in sorted(range(len(predictions)), key=lambda p: -predictions[p].score):
        track = predictions[p]
        if ious[p].max(initial=0) >= SAME_OBJECT:
            track = replace(track, category_id=truth[ious[p].argmax()].category_id)
        kept.setdefault((track.category_id, *track.counts), track)
    return list(kept.values())


def perfect_segmentation(video: Video, predictions: list[Track]) -> list[Track]:
    """Replace each mask by that of the object of the ground truth, of any category, that it
    overlaps most in its frame. Identities, scores and categories are those predicted, and where
    nothing was predicted nothing is added.

    Args, returns: as ``perfect_tracking``.
    """
    truth = _objects(video)
    owners = _owners(video, predictions, truth)
    replaced = []
    for p, track in enumerate(predictions):
        counts, areas = list(track.counts), track.areas.copy()
        for t in np.flatnonzero(owners[:, p] >= 0):
            counts[t], areas[t] = truth[owners[t, p]].counts[t], truth[owners[t, p]].areas[t]
        replaced.append(_with_masks(track, counts, areas))
    return replaced


ORACLES = {
    "tracking": perfect_tracking,
    "classification": perfect_classification,
    "segmentation": perfect_segmentation,
}


def _objects(video: Video) -> list[Track]:
    return [x for x in video.truth if not x.is_crowd]


def _owners(video: Video, predictions: list[Track], truth: list[Track]) -> np.ndarray:
    """(L, P) index of the object that each mask overlaps most, -1 for none."""
    if not truth:
        return np.full((video.length, len(predictions)), -1)
    shared = frame_intersections(video, predictions, truth)
    ious = frame_ious(video, predictions, truth, shared)
    return np.where(ious.max(2) >= SAME_OBJECT, ious.argmax(2), -1)


def _joined(tracks: list[Track], giver: np.ndarray, frames: np.ndarray) -> Track:
    """One track out of the masks of several: in each of the frames that of ``tracks[giver]``."""
    counts: list[bytes | None] = [None] * len(giver)
    areas = np.zeros(len(giver), np.int64)
    for t in frames:
        counts[t], areas[t] = tracks[giver[t]].counts[t], tracks[giver[t]].areas[t]
    score = float(np.mean([tracks[giver[t]].score for t in frames]))
    return _with_masks(replace(tracks[0], score=score), counts, areas)


def _with_masks(track: Track, counts: list[bytes | None], areas: np.ndarray) -> Track:
    return replace(track, counts=counts, areas=areas, average_area=average_area(areas))
