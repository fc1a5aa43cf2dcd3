"""Small ground truths and results in YouTube-VIS's format."""

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
