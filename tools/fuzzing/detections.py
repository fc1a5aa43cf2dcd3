"""Inputs for the readers of detections."""

import contextlib
import io
import json
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from maskprop_d2.detections import CocoDetections, IdMaskFolder, as_detections
from maskprop_d2.errors import InputError
from maskprop_d2.ops.rle import encode

from .mutate import damage, damage_json

SIZE = 20, 30
# What the readers use of a video.
VIDEO = SimpleNamespace(frame_size=SIZE, num_frames=3, names=["a", "b", "c"])
VIDEO_FILE = SimpleNamespace(frame_size=SIZE, num_frames=3)


@cache
def _mask() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[3:9, 5:25] = True
    return mask


@cache
def _results() -> list[dict[str, Any]]:
    masks = encode(_mask()), {"size": [10, 15], "counts": [1, 2, 147]}, [[1, 1, 5, 1, 5, 5]]
    names = [{"category_name": "cat"}, {"file_name": "v/b.jpg"}, {"iscrowd": 0}]
    return [
        {"image_id": t, "category_id": t + 1, "score": 0.5, "segmentation": mask, **name}
        for t, (mask, name) in enumerate(zip(masks, names, strict=True))
    ]


@cache
def _annotations() -> dict[str, Any]:
    size = {"height": SIZE[0], "width": SIZE[1]}
    images = [{"id": t, "file_name": f"{x}.jpg", **size} for t, x in enumerate("abc")]
    categories = [{"id": i + 1, "name": x} for i, x in enumerate(("cat", "dog", "cow"))]
    return {"images": images, "categories": categories, "annotations": _results()}


@cache
def _arrays() -> dict[str, Any]:
    masks = np.stack([_mask(), ~_mask()])[:, ::5, ::5].astype(int).tolist()
    return {"masks": masks, "scores": [0.5, 1.0], "labels": [0, 3], "boxes": [[0, 0, 9, 9]] * 2}


def make_coco(random: Random) -> bytes:
    """A file of results or annotations."""
    return damage_json(random, random.choice((_results(), _annotations())))


def read_coco(path: Path) -> None:
    """With frames that have names, and with frames that have none."""
    for video in (VIDEO, VIDEO_FILE):
        found = CocoDetections(path, video)
        for t in range(3):
            found.frame(t)


def make_id_mask(random: Random) -> bytes:
    """An image of any mode and size, half of the time damaged."""
    mode = random.choice(("1", "L", "P", "I;16", "I", "RGB", "LA", "F"))
    height, width = SIZE if random.random() < 0.7 else (random.randrange(1, 99), 30)
    ids = np.random.default_rng(random.randrange(2**32)).integers(0, 2**8, (height, width))
    ids = ids if random.random() < 0.3 else ids // 50
    image = Image.fromarray(ids.astype(np.uint8)).convert("L" if mode == "P" else mode)
    file = io.BytesIO()
    image.save(file, "TIFF" if mode in ("F", "I") else "PNG")
    return damage(random, file.getvalue()) if random.random() < 0.5 else file.getvalue()


def read_id_mask(path: Path) -> None:
    """A folder with one file."""
    IdMaskFolder(path.parent, VIDEO_FILE).frame(0)


def make_arrays(random: Random) -> bytes:
    """Masks, scores, labels and boxes as json lists."""
    return damage_json(random, _arrays())


def read_arrays(path: Path) -> None:
    """As a dict and as a tuple, of lists and of numpy arrays."""
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    kinds = [values]
    if isinstance(values, dict):
        arrays = dict(values)
        for key, value in values.items():
            with contextlib.suppress(ValueError, OverflowError):
                arrays[key] = np.array(value)
        kinds += [arrays, tuple(values.values())[:3], tuple(arrays.values())[:3]]
    errors = []
    for kind in kinds:
        try:
            as_detections(kind, (4, 6))
        except InputError as error:
            errors.append(error)
    if errors:
        raise errors[0]
