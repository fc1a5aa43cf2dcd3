"""Converting the detections of other libraries."""

from typing import Any

import cv2
import numpy as np

from ..errors import DetectionsError
from ..structures import Detections

MAX_PIXELS = 2**31
"""Most pixels of all masks of a frame together, which take a byte each."""
MAX_CATEGORIES = 2048
"""Limit of the number of categories, more than any dataset has. Linking takes it as K."""


def as_detections(detections: Any, image_size: tuple[int, int]) -> Detections:
    """Convert the detections of any library in one frame; detections without a pixel are dropped.

    Args:
        detections: one of

            - ``Detections``;
            - ``supervision.Detections``;
            - Detectron2's ``Instances``, or the dict with ``instances`` that its models return;
            - a dict with ``masks`` and optionally ``scores`` and ``labels``, such as torchvision's
              models return;
            - a tuple of ``masks`` and optionally ``scores`` and ``labels``.

            Arrays may be numpy arrays, tensors or lists. Masks are (N, H, W) or (N, 1, H, W): bool,
            integers (not 0 is the object) or floats in [0, 1] (above 0.5). Scores are 1 and labels
            0 where there are none.
        image_size: (H, W) of the frame. Masks with fewer or more pixels are resized if they have
            its aspect ratio.

    Raises:
        DetectionsError: if it is none of these, there are boxes but no masks, or values do not fit.
    """
    masks, scores, labels = _fields(detections)
    masks = _masks(masks, image_size)
    scores = _scores(scores, len(masks))
    labels = _labels(labels, len(masks))
    seen = masks.any(axis=(1, 2))
    if not seen.all():
        masks, scores, labels = masks[seen], scores[seen], labels[seen]
    return Detections(masks, scores, labels)


def resize_masks(masks: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resize (N, h, w) masks, bool or float in [0, 1], to (N, H, W) bool masks.

    Raises:
        DetectionsError: if they do not have the aspect ratio of the frame, so that it is unknown
            which part of it they show.
    """
    check_size(masks.shape[1:], image_size)
    if masks.shape[1:] == image_size:
        return masks if masks.dtype == bool else masks > 0.5
    height, width = image_size
    resized = np.empty((len(masks), height, width), bool)
    soft = masks.dtype != bool
    kind = cv2.INTER_LINEAR if soft else cv2.INTER_NEAREST_EXACT
    for mask, out in zip(masks, resized, strict=True):
        source = mask.astype(np.float32 if soft else np.uint8)
        out[:] = cv2.resize(source, (width, height), interpolation=kind) > 0.5
    return resized


def check_size(mask_size: tuple[int, ...], image_size: tuple[int, int]) -> None:
    """Check that masks have the aspect ratio of the frame.

    Raises:
        DetectionsError: if masks of this size, (h, w), cannot be resized to (H, W).
    """
    (h, w), (height, width) = mask_size, image_size
    if (h, w) == (height, width):
        return
    # Either side may be rounded.
    if min(h, w) == 0 or min(abs(h - height * w / width), abs(w - width * h / height)) > 1:
        raise DetectionsError(
            f"masks of {w} x {h} pixels do not fit a frame of {width} x {height}: pass masks in "
            "the size of the frame"
        )


def check_number(count: int, image_size: tuple[int, int]) -> None:
    """Check that the masks of a frame fit into memory.

    Raises:
        DetectionsError: if the masks of ``count`` objects would not fit into memory.
    """
    if count * image_size[0] * image_size[1] > MAX_PIXELS:
        raise DetectionsError(
            f"{count} masks of {image_size[1]} x {image_size[0]} pixels in one frame are too many: "
            "keep those with the best scores"
        )


def _fields(detections: Any) -> tuple[Any, Any, Any]:
    """The masks, scores and labels of any of the types; None where there are none."""
    if isinstance(detections, Detections):
        return detections.masks, detections.scores, detections.labels
    if isinstance(detections, dict):
        if "instances" in detections:
            return _fields(detections["instances"])
        get = detections.get
        return _checked(get("masks"), get("scores"), get("labels"), get("boxes"))
    if isinstance(detections, tuple) and 1 <= len(detections) <= 3:
        masks, scores, labels = (*detections, None, None)[:3]
        return _checked(masks, scores, labels, boxes=scores)
    # Other libraries' types are told by their attributes, so that none has to be installed.
    if hasattr(detections, "pred_boxes") or hasattr(detections, "pred_masks"):
        names = "pred_masks", "scores", "pred_classes", "pred_boxes"
        return _checked(*(getattr(detections, name, None) for name in names))
    if hasattr(detections, "xyxy") and hasattr(detections, "class_id"):
        x = detections
        return _checked(x.mask, x.confidence, x.class_id, x.xyxy)
    raise DetectionsError(
        f"{type(detections).__name__} is not a type of detections: pass a tuple (masks, scores, "
        "labels), a dict with these keys, supervision.Detections or Detectron2's Instances"
    )


def _checked(masks: Any, scores: Any, labels: Any, boxes: Any) -> tuple[Any, Any, Any]:
    """The first three; without masks, refuse boxes."""
    if masks is None:
        if not hasattr(boxes, "__len__") or len(boxes):
            raise DetectionsError(
                "the detections have no masks: linking needs masks, not only boxes. Use a "
                "segmentation model, or get masks for the boxes from SAM"
            )
        # Several libraries have no masks if there is no object.
        masks = []
    return masks, scores, labels


def _array(values: Any, what: str) -> np.ndarray:
    """An array of numbers from an array, a tensor on any device, or lists."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = values.float() if values.is_floating_point() else values
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise DetectionsError(f"the {what} are not an array") from error
    if array.dtype.kind not in "buif":
        raise DetectionsError(f"the {what} must be numbers, not {array.dtype}")
    return array


def _masks(masks: Any, image_size: tuple[int, int]) -> np.ndarray:
    """(N, H, W) bool."""
    array = _array(masks, "masks")
    if array.ndim and len(array) == 0:
        return np.zeros((0, *image_size), bool)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 3:
        raise DetectionsError(f"the masks must be of shape (N, H, W), not {array.shape}")
    check_number(len(array), image_size)
    if array.dtype.kind == "f":
        # With NaN the comparison is false.
        if array.size and not (array.min() >= -1e-3 and array.max() <= 1.001):
            raise DetectionsError(
                "soft masks must be in [0, 1]: apply a sigmoid if these are logits"
            )
    elif array.dtype != bool:
        array = array != 0
    return resize_masks(array, image_size)


def _scores(scores: Any, count: int) -> np.ndarray:
    """(N,) float32."""
    if scores is None:
        return np.ones(count, np.float32)
    array = _array(scores, "scores").astype(np.float32)
    if array.shape != (count,):
        raise DetectionsError(f"there are {count} masks, but scores of shape {array.shape}")
    if not ((array >= 0) & (array <= 1.001)).all():
        wrong = array[~((array >= 0) & (array <= 1.001))][0]
        raise DetectionsError(f"scores must be in [0, 1], not {wrong:g}")
    return array.clip(max=1)


def _labels(labels: Any, count: int) -> np.ndarray:
    """(N,) int64."""
    if labels is None:
        return np.zeros(count, np.int64)
    array = _array(labels, "labels")
    if array.shape != (count,):
        raise DetectionsError(f"there are {count} masks, but labels of shape {array.shape}")
    # Ultralytics has them as floats.
    if not ((array >= 0) & (array == np.floor(array)) & (array < MAX_CATEGORIES)).all():
        raise DetectionsError(f"labels must be category indices in 0..{MAX_CATEGORIES - 1}")
    return array.astype(np.int64)
