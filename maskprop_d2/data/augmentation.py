"""Augmentation of clips: the same for all frames, and random warps of still images."""

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from detectron2.data import transforms as T
from detectron2.data.detection_utils import build_augmentation

from ..errors import InputError


def build_clip_augmentations(cfg: Any) -> T.AugmentationList:
    """Crop (``INPUT.CROP``), resize the short side (``INPUT.MIN_SIZE_TRAIN``, Sec. 4.4) and flip
    (``INPUT.RANDOM_FLIP``)."""
    augmentations = build_augmentation(cfg, is_train=True)
    if cfg.INPUT.CROP.ENABLED:
        augmentations.insert(0, T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
    return T.AugmentationList(augmentations)


class AffineWarp(T.Transform):
    """An affine map of an image onto one of the same size, with motion blur.

    Pixels from outside the image get its mean colour and belong to no object: mirrored or repeated
    borders would show objects without a mask.
    """

    def __init__(self, matrix: np.ndarray, blur: np.ndarray):
        """
        Args:
            matrix: (2, 3), from points x, y in pixels to warped points.
            blur: (2,), x and y of the camera's movement during the exposure, in pixels.
        """
        super().__init__()
        self.matrix = matrix
        self.blur = blur

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """(P, 2) points x, y -> warped points."""
        return coords @ self.matrix[:, :2].T + self.matrix[:, 2]

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> the same size."""
        mean = image.mean(axis=(0, 1)).tolist()
        warped = self._warp(image, cv2.INTER_LINEAR, mean)
        return cv2.filter2D(warped, -1, line_kernel(self.blur), borderType=cv2.BORDER_REPLICATE)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """(H, W) mask -> the same size, 0 outside the original image."""
        return self._warp(segmentation, cv2.INTER_NEAREST, 0)

    def _warp(self, image: np.ndarray, interpolation: int, border: Any) -> np.ndarray:
        # OpenCV's origin is the centre of the first pixel, ours its corner.
        shift = self.matrix[:, :2].sum(axis=1) / 2 - 0.5
        matrix = np.column_stack([self.matrix[:, :2], self.matrix[:, 2] + shift])
        size = image.shape[1::-1]
        return cv2.warpAffine(image, matrix, size, flags=interpolation, borderValue=border)


def line_kernel(line: np.ndarray) -> np.ndarray:
    """A square kernel that averages along a line, (2,) x and y in pixels."""
    radius = int(np.ceil(np.abs(line).max() / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    points = np.linspace(-0.5, 0.5, 20 * radius + 1)[:, None] * line
    x, y = np.rint(points).astype(int).T + radius
    np.add.at(kernel, (y, x), 1)
    return kernel / kernel.sum()


def draw_warp(
    image: np.ndarray, rotation: float, scale: float, shear: float, translation: float, blur: float
) -> AffineWarp:
    """Draw a warp: a still image as a moving camera would see it a moment later. Each parameter is
    uniform between plus and minus its limit.

    Args:
        image: (H, W, 3)
        rotation: degrees, about the centre of the image.
        scale: largest factor, 1 or more; the image is enlarged or reduced.
        shear: degrees.
        translation: as a share of the image's width and height.
        blur: length of the motion blur as a share of the translation.
    """
    size = np.array(image.shape[1::-1])
    turn, zoom, slant, x, y, exposure = np.random.uniform(-1, 1, 6)
    angle = np.deg2rad(rotation * turn)
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    skew = np.array([[1, np.tan(np.deg2rad(shear * slant))], [0, 1]])
    linear = scale**zoom * rotate @ skew
    shift = translation * size * (x, y)
    centre = size / 2
    matrix = np.column_stack([linear, centre + shift - linear @ centre])
    return AffineWarp(matrix, blur * abs(exposure) * shift)


def build_image_warp(cfg: Any) -> Callable[[np.ndarray], AffineWarp]:
    """``draw_warp`` with the limits of ``INPUT.IMAGE_WARP``.

    Raises:
        InputError: if ``SCALE`` is below 1.
    """
    limits = cfg.INPUT.IMAGE_WARP
    if limits.SCALE < 1:
        raise InputError(f"INPUT.IMAGE_WARP.SCALE must be 1 or more, not {limits.SCALE}")
    return partial(draw_warp, **{key.lower(): value for key, value in limits.items()})
