"""Augmentation that is the same for all frames of a clip."""

from typing import Any

import numpy as np
from detectron2.data import transforms as T


def build_clip_augmentations(cfg: Any) -> T.AugmentationList:
    """Crop (``INPUT.CROP``), resize the short side (``INPUT.MIN_SIZE_TRAIN``, Sec. 4.4) and flip
    (``RANDOM_FLIP``)."""
    augmentations: list[T.Augmentation] = [
        T.ResizeShortestEdge(
            cfg.INPUT.MIN_SIZE_TRAIN,
            cfg.INPUT.MAX_SIZE_TRAIN,
            cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING,
        )
    ]
    if cfg.INPUT.CROP.ENABLED:
        augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
    if cfg.INPUT.RANDOM_FLIP != "none":
        horizontal = cfg.INPUT.RANDOM_FLIP == "horizontal"
        augmentations.append(T.RandomFlip(horizontal=horizontal, vertical=not horizontal))
    return T.AugmentationList(augmentations)


def augment_clip(
    frames: list[np.ndarray], augmentations: T.AugmentationList
) -> tuple[list[np.ndarray], T.TransformList]:
    """Draw one geometric transform and apply it to every frame.

    Args:
        frames: (H, W, 3) arrays, all of one size.
        augmentations: what to draw from.

    Returns:
        the transformed frames, and the transform, for their masks.
    """
    first = T.AugInput(frames[0])
    transforms = augmentations(first)
    return [first.image, *(transforms.apply_image(frame) for frame in frames[1:])], transforms
