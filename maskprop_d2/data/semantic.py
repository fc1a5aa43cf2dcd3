"""Maps of semantic classes, the targets of the semantic branch: read from files, or drawn from the
instance masks."""

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
    """What gives the map of a record's frame, as ``MODEL.MASKPROP.SEMANTIC`` says; None if nothing
    is trained on it.

    Raises:
        InputError: if there are too many classes for maps of 8 bits.
    """
    options = cfg.MODEL.MASKPROP.SEMANTIC
    if not options.ENABLED or "detector" in cfg.SOLVER.FROZEN:
        return None
    things = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    number = options.NUM_CLASSES or things + 1
    if number > IGNORED:
        raise InputError(
            f"a semantic branch of {number} classes: semantic maps have at most {IGNORED}"
        )
    if options.NUM_CLASSES:
        return partial(read_semantic_map, num_classes=number)
    return partial(draw_semantic_map, background=things)


def draw_semantic_map(video: dict[str, Any], t: int, background: int) -> np.ndarray:
    """The categories of a frame's objects, small ones over large ones; crowds are ignored.

    Args:
        video: a record of ``load_ytvis_json`` or ``image_as_video``.
        t: frame index.
        background: class of the pixels without an object.

    Returns:
        (H, W) uint8
    """
    height, width = video["height"], video["width"]
    classes = np.full((height, width), background, np.uint8)
    objects = [
        (decode(to_rle(x["segmentation"], height, width)), x) for x in video["annotations"][t]
    ]
    # A crowd says least about its pixels, hence it comes first.
    for mask, x in sorted(objects, key=lambda pair: (not pair[1]["iscrowd"], -pair[0].sum())):
        classes[mask] = IGNORED if x["iscrowd"] else x["category_id"]
    return classes


def read_semantic_map(video: dict[str, Any], t: int, num_classes: int) -> np.ndarray:
    """The map that a data set has for a frame in a file, of one channel of 8 bits.

    Args:
        video: a record with ``sem_seg_file_names``.
        t: frame index.
        num_classes: classes are 0 .. num_classes - 1, or ``IGNORED``.

    Returns:
        (H, W) uint8

    Raises:
        AnnotationError: if there is none, or it cannot be read, has another size than the frame,
            or further classes.
    """
    if "sem_seg_file_names" not in video:
        raise AnnotationError(
            f"video {video['video_id']} has no maps of semantic classes: set "
            "MODEL.MASKPROP.SEMANTIC.NUM_CLASSES 0 to draw them from the instance masks"
        )
    path = video["sem_seg_file_names"][t]
    try:
        classes = read_pixels(path, cv2.IMREAD_UNCHANGED)
    except VideoError as error:
        raise AnnotationError(f"{path} is no map of semantic classes: {error}") from error
    expected = (video["height"], video["width"])
    if classes.shape != expected or classes.dtype != np.uint8:
        raise AnnotationError(
            f"{path} is a {classes.dtype} image of shape {classes.shape}: a map of semantic "
            f"classes is uint8 of {expected} pixels like its frame"
        )
    wrong = classes[(classes >= num_classes) & (classes != IGNORED)]
    if wrong.size:
        raise AnnotationError(
            f"{path} has the semantic class {wrong.max()}, but "
            f"MODEL.MASKPROP.SEMANTIC.NUM_CLASSES is {num_classes}"
        )
    return classes


def transform_semantic_map(classes: np.ndarray, transforms: T.TransformList) -> np.ndarray:
    """An (H, W) uint8 map transformed like its frame; what comes from outside of it is ignored."""
    # Transforms fill with 0: one more than each class, the ignored ones thereby become 0 too.
    return transforms.apply_segmentation(classes + np.uint8(1)) - np.uint8(1)
