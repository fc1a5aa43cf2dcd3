"""A dataset of one small video."""

import json

import cv2
import numpy as np

from maskprop_d2.ops.rle import encode

HEIGHT, WIDTH = 40, 60


def square(t):
    """A mask of 10 x 10 pixels that moves 5 pixels per frame."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 5 * t : 5 * t + 10] = True
    return mask


def write_data_set(folder, length=4):
    """Write a video with a red square, an object that is seen only in frame 1, and a crowd."""
    (folder / "v").mkdir(parents=True)
    for t in range(length):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[square(t)] = (0, 0, 255)
        cv2.imwrite(str(folder / f"v/{t}.png"), frame)
    once = [encode(square(0)) if t == 1 else None for t in range(length)]
    tracks = [(5, 30, [encode(square(t)) for t in range(length)], 0), (3, 20, once, 0)]
    tracks.append((9, 20, [encode(square(t)) for t in range(length)], 1))
    names = [f"v/{t}.png" for t in range(length)]
    data = {
        "videos": [{"id": 7, "height": HEIGHT, "width": WIDTH, "file_names": names}],
        "categories": [{"id": 30, "name": "square"}, {"id": 20, "name": "ghost"}],
        "annotations": [
            {"id": i, "video_id": 7, "category_id": c, "segmentations": s, "iscrowd": crowd}
            for i, c, s, crowd in tracks
        ],
    }
    (folder / "train.json").write_text(json.dumps(data))
    return folder
