"""Mask overlaps of the tracks of a video: L frames, P predictions, G ground truth objects."""

import numpy as np
from pycocotools import mask as coco_mask

from .tracks import Track, Video


class Overlaps:
    """How the masks of predictions and ground truth objects of one video overlap.

    Attributes:
        areas: (P, L) mask areas of the predictions, in pixels.
        truth_areas: (G, L) those of the objects.
        intersections: (L, P, G) in pixels, per frame.
    """

    def __init__(self, video: Video, predictions: list[Track], truth: list[Track]):
        self.areas, self.truth_areas = (
            np.array([x.areas for x in tracks]).reshape(-1, video.length)
            for tracks in (predictions, truth)
        )
        ratios = np.zeros((video.length, len(predictions), len(truth)))
        size = [video.height, video.width]
        for t in np.flatnonzero(self.areas.any(0) & self.truth_areas.any(0)):
            p, g = np.flatnonzero(self.areas[:, t]), np.flatnonzero(self.truth_areas[:, t])
            ratios[t, p[:, None], g] = coco_mask.iou(
                [{"size": size, "counts": predictions[i].counts[t]} for i in p],
                [{"size": size, "counts": truth[j].counts[t]} for j in g],
                # With iscrowd = 1, pycocotools divides the intersection by the prediction's area.
                [1] * len(g),
            )
        self.intersections = np.round(ratios * self.areas.T[:, :, None])

    def video_ious(self) -> np.ndarray:
        """(P, G) IoUs of whole tracks (Eq. 1 of the paper): intersections and unions are summed
        over all frames, including those where only one of the two has a mask."""
        areas = self.areas.sum(1)[:, None] + self.truth_areas.sum(1)
        return _iou(self.intersections.sum(0), areas)

    def frame_ious(self) -> np.ndarray:
        """(L, P, G) per-frame mask IoUs, 0 where either mask is absent."""
        return _iou(self.intersections, self.areas.T[:, :, None] + self.truth_areas.T[:, None])


def _iou(shared: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """IoUs from the intersections and the sums of both areas."""
    union = areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
