"""Mask overlaps of the tracks of a video: L frames, P predictions, G ground truth objects."""

import numpy as np
from pycocotools import mask as coco_mask

from .tracks import Track, Video


def frame_intersections(video: Video, predictions: list[Track], truth: list[Track]) -> np.ndarray:
    """(L, P, G) intersections in pixels, per frame."""
    ratios = np.zeros((video.length, len(predictions), len(truth)))
    areas, truth_areas = track_areas(video, predictions), track_areas(video, truth)
    size = [video.height, video.width]
    for t in np.flatnonzero(areas.any(0) & truth_areas.any(0)):
        p, g = np.flatnonzero(areas[:, t]), np.flatnonzero(truth_areas[:, t])
        ratios[t, p[:, None], g] = coco_mask.iou(
            [{"size": size, "counts": predictions[i].counts[t]} for i in p],
            [{"size": size, "counts": truth[j].counts[t]} for j in g],
            # With iscrowd = 1, pycocotools divides the intersection by the prediction's area.
            [1] * len(g),
        )
    return np.round(ratios * areas.T[:, :, None])


def track_areas(video: Video, tracks: list[Track]) -> np.ndarray:
    """(number of tracks, L) mask areas in pixels."""
    return np.array([x.areas for x in tracks]).reshape(-1, video.length)


def video_ious(
    video: Video, predictions: list[Track], truth: list[Track], intersections: np.ndarray
) -> np.ndarray:
    """(P, G) IoUs of whole tracks (Eq. 1 of the paper): intersections and unions are summed over
    all frames, including those where only one of the two has a mask."""
    areas = track_areas(video, predictions).sum(1)
    truth_areas = track_areas(video, truth).sum(1)
    shared = intersections.sum(0)
    return _ratio(shared, areas[:, None] + truth_areas - shared)


def frame_ious(
    video: Video, predictions: list[Track], truth: list[Track], intersections: np.ndarray
) -> np.ndarray:
    """(L, P, G) per-frame mask IoUs, 0 where either mask is absent."""
    areas = track_areas(video, predictions).T[:, :, None]
    truth_areas = track_areas(video, truth).T[:, None, :]
    return _ratio(intersections, areas + truth_areas - intersections)


def _ratio(shared: np.ndarray, union: np.ndarray) -> np.ndarray:
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
