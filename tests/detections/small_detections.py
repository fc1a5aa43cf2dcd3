"""A small video as frames, and detections in it."""

import json
from types import SimpleNamespace

import cv2
import numpy as np

from maskprop_d2.ops.rle import encode
from maskprop_d2.video import FrameFiles, find_frames

SIZE = 24, 32


def square(t, row=4):
    """A mask of 8 x 8 pixels that moves 2 pixels per frame."""
    mask = np.zeros(SIZE, bool)
    mask[row : row + 8, 2 * t : 2 * t + 8] = True
    return mask


def write_frames(folder, names=("00000", "00001", "00002", "00003")):
    """Write frames with a bright square, and open them."""
    folder.mkdir(parents=True)
    for t, name in enumerate(names):
        frame = np.full((*SIZE, 3), 40, np.uint8)
        frame[square(t)] = 200
        cv2.imwrite(str(folder / f"{name}.png"), frame)
    return FrameFiles(find_frames([str(folder)]))


def like_video(num_frames=4):
    """What the readers use of a video file."""
    return SimpleNamespace(num_frames=num_frames, frame_size=SIZE)


def entry(t, row=4, **fields):
    """An entry of COCO's result format; ``...`` as a value removes a field."""
    mask = {"image_id": t, "category_id": 3, "score": 0.5, "segmentation": encode(square(t, row))}
    return {k: v for k, v in (mask | fields).items() if v is not ...}


def write(path, content):
    path.write_text(json.dumps(content))
    return path
