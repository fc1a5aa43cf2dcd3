"""Groups of objects by size, speed, occlusion and length, to tell which of them cost AP."""

import numpy as np
from pycocotools import mask as coco_mask

from .matching import AREA_RANGES
from .tracks import Video

# Names in order, with the upper bound of each but the last.
LIMITS: dict[str, dict[str, float]] = {
    "size": {x: AREA_RANGES[x][1] for x in ("small", "medium", "large")},
    "speed": {"slow": 0.1, "medium": 0.3, "fast": 1.0},
    "occlusion": {"none": 0.05, "some": 0.25, "much": 1.0},
    "length": {"short": 16, "medium": 32, "long": np.inf},
}


def group_names(video: Video) -> list[dict[str, str]]:
    """The group of each object of a video (no crowds) by each property.

    - size: the mean area of its masks, in the ranges of the official code, up to 128 and 256
      pixels squared.
    - speed: 1 - the IoU of its bounding boxes in successive frames in which it is seen, the mean
      over these (Zhu et al., ICCV 2017, with the frames that are annotated): slow up to 0.1,
      medium up to 0.3.
    - occlusion: the share of its bounding box that the boxes of other objects cover, the largest
      of one object in each frame, the mean over the frames: none up to 0.05, some up to 0.25.
    - length: the number of frames in which it is seen: short up to 16, medium up to 32.
    """
    objects = video.objects
    boxes = np.zeros((len(objects), video.length, 4))
    for g, track in enumerate(objects):
        for t in np.flatnonzero(track.areas):
            rle = {"size": [video.height, video.width], "counts": track.counts[t]}
            boxes[g, t] = coco_mask.toBbox(rle)
    boxes[..., 2:] += boxes[..., :2]
    names = []
    for g, track in enumerate(objects):
        seen = np.flatnonzero(track.areas)
        others = np.delete(boxes, g, axis=0)[:, seen]
        covered = _shared(boxes[g, seen], others) / np.maximum(1, _areas(boxes[g, seen]))
        values = {
            "size": track.average_area,
            "speed": _speed(boxes[g, seen]),
            "occlusion": float(covered.max(0, initial=0).mean()) if len(seen) else 0.0,
            "length": len(seen),
        }
        names.append({prop: _group(prop, value) for prop, value in values.items()})
    return names


def _speed(boxes: np.ndarray) -> float:
    if len(boxes) < 2:
        return 0.0
    shared = _shared(boxes[1:], boxes[:-1])
    return float((1 - shared / (_areas(boxes[1:]) + _areas(boxes[:-1]) - shared)).mean())


def _group(prop: str, value: float) -> str:
    *inner, last = LIMITS[prop]
    return next((x for x in inner if value <= LIMITS[prop][x]), last)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersections of XYXY boxes."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.maximum(sides, 0).prod(-1)
