"""Three small videos, and results with known errors."""

import json

import cv2
import numpy as np

from maskprop_d2.ops.rle import encode

HEIGHT, WIDTH, LENGTH = 60, 90, 8
ALL = range(LENGTH)
SQUARE, DISK = 4, 7
CATEGORIES = [{"id": SQUARE, "name": "square"}, {"id": DISK, "name": "<b>disk</b>"}]
# Names that must be escaped in URLs.
NAMES = {3: "swap #1", 5: "50% wrong", 9: "perfect"}


def masks(lane, frames=ALL):
    """RLEs of a block of 16 x 16 pixels that moves right in one of three lanes; None outside
    ``frames``."""
    track = []
    for t in range(LENGTH):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[20 * lane + 2 : 20 * lane + 18, 8 * t : 8 * t + 16] = True
        track.append(encode(mask) if t in frames else None)
    return track


def track(video_id, category_id, segmentations, **more):
    return {
        "video_id": video_id,
        "category_id": category_id,
        "segmentations": segmentations,
        **more,
    }


def write_small_results(folder):
    """Write valid.json, results.json and JPEGImages.

    Video 3: two squares swap identities in frame 5; a disk, seen in frames 2 to 5, is missed in
    frames 2 and 3. Video 5: a square is predicted as a disk, another disk is a false positive, and
    a crowd is predicted as an object. Video 9: correct. The predictions scored 0.1 are below the
    best threshold.

    Returns:
        the content of valid.json and of results.json.
    """
    for name in NAMES.values():
        (folder / "JPEGImages" / name).mkdir(parents=True)
        for t in range(LENGTH):
            frame = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
            cv2.imwrite(str(folder / "JPEGImages" / name / f"{t:05d}.png"), frame)
    truth = {
        "videos": [
            {
                "id": video_id,
                "height": HEIGHT,
                "width": WIDTH,
                "file_names": [f"{name}/{t:05d}.png" for t in range(LENGTH)],
            }
            for video_id, name in NAMES.items()
        ],
        "categories": CATEGORIES,
        "annotations": [
            track(3, SQUARE, masks(0), id=1),
            track(3, SQUARE, masks(1), id=2),
            track(3, DISK, masks(2, range(2, 6)), id=3),
            track(5, SQUARE, masks(0), id=4),
            track(5, SQUARE, masks(1), id=5, iscrowd=1),
            track(9, SQUARE, masks(0), id=6),
            track(9, DISK, masks(1), id=7),
        ],
    }
    results = [
        track(3, SQUARE, masks(1)[:5] + masks(0)[5:], score=0.9),
        track(3, SQUARE, masks(0)[:5] + masks(1)[5:], score=0.95),
        track(3, DISK, masks(2, range(4, 6)), score=0.92),
        track(3, DISK, masks(0), score=0.1),
        track(5, DISK, masks(0), score=0.93),
        track(5, DISK, masks(2, range(3)), score=0.91),
        track(5, SQUARE, masks(1), score=0.94),
        track(9, SQUARE, masks(0), score=0.97),
        track(9, DISK, masks(1), score=0.96),
        track(9, DISK, masks(2), score=0.1),
    ]
    (folder / "valid.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    return truth, results
