"""Oracles: replacing one part of the predictions by the ground truth shows what that part costs.

Crowds are left out. Masks with an IoU below ``SAME_OBJECT`` do not show the same object: such a
prediction is a false positive, not a badly segmented one. (The value is that of TIDE, Bolya et
al., ECCV 2020.) Predictions that match no object stay as they are.
"""

from dataclasses import replace

import numpy as np

from .overlap import Overlaps
from .tracks import Track, Video, average_area, best_by_category

SAME_OBJECT = 0.1


def perfect_tracking(video: Video, predictions: list[Track]) -> list[Track]:
    """Link the predicted masks by the identities of the ground truth.

    In each frame, a mask belongs to the object of its category that it overlaps most. All masks of
    an object form one track: in each frame the mask with the best score, with the mean of their
    scores. The other masks stay in their tracks. Masks and categories do not change.
    """
    linked = []
    for category_id, tracks in sorted(best_by_category(predictions).items()):
        truth = [x for x in video.objects if x.category_id == category_id]
        owners = _owners(video, tracks, truth)
        # (G, L) the track with the best score that has a mask of the object, -1 for none.
        sources = np.full((len(truth), video.length), -1)
        for p in reversed(range(len(tracks))):
            t = np.flatnonzero(owners[:, p] >= 0)
            sources[owners[t, p], t] = p
        for source in sources:
            scores = [tracks[p].score for p in source if p >= 0]
            if scores:
                track = replace(tracks[0], score=float(np.mean(scores)))
                linked.append(_with_masks(track, tracks, source))
        for p, track in enumerate(tracks):
            rest = _with_masks(track, tracks, np.where((sources == p).any(0), -1, p))
            if any(rest.counts):
                linked.append(rest)
    return linked


def perfect_classification(video: Video, predictions: list[Track]) -> list[Track]:
    """Give each track the category of the object that it overlaps most over the whole video. Of
    equal tracks (reported under several categories), the one with the best score stays."""
    predictions = sorted(predictions, key=lambda x: -x.score)
    kept: dict[tuple[object, ...], Track] = {}
    ious = Overlaps(video, predictions, video.objects).video_ious()
    for track, iou in zip(predictions, ious, strict=True):
        if iou.max(initial=0) >= SAME_OBJECT:
            track = replace(track, category_id=video.objects[iou.argmax()].category_id)
        kept.setdefault((track.category_id, *track.counts), track)
    return list(kept.values())


def perfect_segmentation(video: Video, predictions: list[Track]) -> list[Track]:
    """Replace each mask by that of the object, of any category, that it overlaps most in its frame.
    Identities, scores and categories do not change, and no mask is added."""
    owners = _owners(video, predictions, video.objects)
    return [
        _with_masks(track, [*video.objects, track], np.where(owner >= 0, owner, len(video.objects)))
        for track, owner in zip(predictions, owners.T, strict=True)
    ]


ORACLES = {
    "tracking": perfect_tracking,
    "classification": perfect_classification,
    "segmentation": perfect_segmentation,
}


def _owners(video: Video, predictions: list[Track], truth: list[Track]) -> np.ndarray:
    """(L, P) index of the object that each mask overlaps most, -1 for none."""
    if not truth:
        return np.full((video.length, len(predictions)), -1)
    ious = Overlaps(video, predictions, truth).frame_ious()
    return np.where(ious.max(2) >= SAME_OBJECT, ious.argmax(2), -1)


def _with_masks(track: Track, tracks: list[Track], source: np.ndarray) -> Track:
    """``track`` with the masks of others: in frame t that of ``tracks[source[t]]``, -1 for none."""
    counts = [tracks[p].counts[t] if p >= 0 else None for t, p in enumerate(source)]
    areas = np.array([tracks[p].areas[t] if p >= 0 else 0 for t, p in enumerate(source)])
    return replace(track, counts=counts, areas=areas, average_area=average_area(areas))
