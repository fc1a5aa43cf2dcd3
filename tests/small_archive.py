"""Small videos with detections, in a folder."""

import json

import cv2
import numpy as np

from maskprop_d2.archive.settings import Settings
from maskprop_d2.ops.rle import encode
from maskprop_d2.video.writing import VideoWriter

SIZE = 32, 48
LENGTH = 4
CATEGORY = {"category_id": 3, "category_name": "car"}
LINKED = Settings(detections="{folder}/{stem}.json", tracker="iou")


def mask_of(number, t):
    """A block that moves to the right."""
    mask = np.zeros(SIZE, bool)
    mask[4 + number : 16 + number, 3 * t : 3 * t + 12] = True
    return mask


def write_archive(folder, videos=3, length=LENGTH):
    """Write ``v0.mp4`` and ``v0.json`` and so on, and a video of images in ``frames``."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(videos):
        with VideoWriter(folder / f"v{i}.mp4", 10) as writer:
            for t in range(length):
                writer.write(_frame(i, t))
        write_detections(folder / f"v{i}.json", i, length)
    (folder / "frames").mkdir(exist_ok=True)
    for t in range(length):
        cv2.imwrite(str(folder / f"frames/{t}.png"), _frame(0, t))
    write_detections(folder / "frames.json", 0, length)
    return folder


def write_detections(path, number, length=LENGTH):
    entries = [
        {"image_id": t, "score": 0.9, "segmentation": encode(mask_of(number, t))} | CATEGORY
        for t in range(length)
    ]
    path.write_text(json.dumps(entries))


def read_files(folder):
    """The content of all files of videos, by their path."""
    files = (x for x in (folder / "videos").rglob("*") if x.is_file())
    return {str(x.relative_to(folder)): x.read_bytes() for x in files}


def _frame(number, t):
    frame = np.full((*SIZE, 3), 60, np.uint8)
    frame[mask_of(number, t)] = (200, 40, 30)
    return frame
