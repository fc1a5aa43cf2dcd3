"""Small ground truth and results in YouTube-VIS format."""

import numpy as np

from maskprop_d2.ops.rle import encode

HEIGHT, WIDTH = 20, 30


def box_mask(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return encode(mask)


def track(video_id, category_id, boxes, **more):
    """An annotation or, with a score, a prediction: a box or None for each frame."""
    masks = [box and box_mask(*box) for box in boxes]
    areas = [box and (box[2] - box[0]) * (box[3] - box[1]) for box in boxes]
    return {
        "video_id": video_id,
        "category_id": category_id,
        "segmentations": masks,
        **({} if "score" in more else {"areas": areas, "iscrowd": 0}),
        **more,
    }


def make_ground_truth():
    """Video 1: a cat that moves, a dog that is seen once. Video 2, of one frame: a cat."""
    videos = [
        {"id": i, "height": HEIGHT, "width": WIDTH, "file_names": [f"{t}.jpg" for t in range(n)]}
        for i, n in ((1, 3), (2, 1))
    ]
    return {
        "videos": videos,
        "categories": [{"id": 4, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            track(1, 4, [(0, 0, 10, 10), (5, 0, 15, 10), None], id=1),
            track(1, 7, [None, (0, 0, 4, 4), None], id=2),
            track(2, 4, [(0, 0, 10, 10)], id=3),
        ],
    }
