"""Semantic maps, the targets of the semantic branch: from files or drawn from instance masks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from detectron2.data import transforms as T

from ..errors import AnnotationError, InputError, VideoError
from ..ops.rle import decode, to_rle
from ..structures import IGNORED
from ..video.images import read_pixels


def build_semantic_map(cfg: Any) -> Callable[[dict[str, Any], int], np.ndarray] | None:
    """A function from a record and a frame index to the frame's semantic map, or None if the
    semantic branch is not trained.

    Raises:
        InputError: if there are too many classes for 8-bit maps.
    """
    options = cfg.MODEL.MASKPROP.SEMANTIC
    if not options.ENABLED or "detector" in cfg.SOLVER.FROZEN:
        return None
    things = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    number = options.NUM_CLASSES or things + 1
    if number > IGNORED:
        raise InputError(
            f"a semantic branch with {number} classes: semantic maps have at most {IGNORED}"
        )
    if options.NUM_CLASSES:
        return partial(read_semantic_map, num_classes=number)
    return partial(draw_semantic_map, background=things)


def draw_semantic_map(video: dict[str, Any], t: int, background: int) -> np.ndarray:
    """Draw the category of each object in a frame, small objects over large ones. Pixels of crowds
    are ``IGNORED``, those without an object ``background``.

    Returns:
        (H, W) uint8
    """
    height, width = video["height"], video["width"]
    classes = np.full((height, width), background, np.uint8)
    objects = [
        (decode(to_rle(x["segmentation"], height, width)), x) for x in video["annotations"][t]
    ]
    # Crowds first, below all objects.
    for mask, x in sorted(objects, key=lambda pair: (not pair[1]["iscrowd"], -pair[0].sum())):
        classes[mask] = IGNORED if x["iscrowd"] else x["category_id"]
    return classes


def read_semantic_map(video: dict[str, Any], t: int, num_classes: int) -> np.ndarray:
    """Read the semantic map of frame t, an image with one 8-bit channel, from the record's
    ``sem_seg_file_names``. Classes are 0 .. ``num_classes`` - 1, and ``IGNORED``.

    Returns:
        (H, W) uint8

    Raises:
        AnnotationError: if the map is missing, cannot be read, or has a wrong size or class.
    """
    if "sem_seg_file_names" not in video:
        raise AnnotationError(
            f"video {video['video_id']} has no semantic maps: set "
            "MODEL.MASKPROP.SEMANTIC.NUM_CLASSES 0 to draw them from the instance masks"
        )
    path = video["sem_seg_file_names"][t]
    try:
        classes = read_pixels(path, cv2.IMREAD_UNCHANGED)
    except VideoError as error:
        raise AnnotationError(f"{path} is not a semantic map: {error}") from error
    expected = (video["height"], video["width"])
    if classes.shape != expected or classes.dtype != np.uint8:
        raise AnnotationError(
            f"{path} is a {classes.dtype} image of shape {classes.shape}: a semantic map must be "
            f"uint8 of shape {expected}, as its frame"
        )
    wrong = classes[(classes >= num_classes) & (classes != IGNORED)]
    if wrong.size:
        raise AnnotationError(
            f"{path} has the semantic class {wrong.max()}, but "
            f"MODEL.MASKPROP.SEMANTIC.NUM_CLASSES is {num_classes}"
        )
    return classes


def transform_semantic_map(classes: np.ndarray, transforms: T.TransformList) -> np.ndarray:
    """Transform an (H, W) uint8 map. Pixels from outside of it are ``IGNORED``."""
    # Transforms fill with 0. Adding 1 makes 0 the ignored class, since 255 + 1 overflows to 0.
    return transforms.apply_segmentation(classes + np.uint8(1)) - np.uint8(1)
