"""A second frame for a still image: the image as a moving camera would see it a moment later."""

from typing import Any

import cv2
import numpy as np
from detectron2.data import transforms as T

from ..errors import InputError


class AffineWarp(T.Transform):
    """An affine map of an image onto one of the same size, and the blur of the movement.

    What comes from outside the image has its mean colour, and belongs to no object: mirrored or
    smeared borders would show objects that have no mask.
    """

    def __init__(self, matrix: np.ndarray, blur: np.ndarray):
        """
        Args:
            matrix: (2, 3), maps points x, y of the image, in pixels, to where they go.
            blur: (2,), the x and y in pixels that the camera moves while the picture is taken.
        """
        super().__init__()
        self._set_attributes(locals())

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        """(P, 2) points x, y -> where they go."""
        return coords @ self.matrix[:, :2].T + self.matrix[:, 2]

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> the same size."""
        mean = image.mean(axis=(0, 1)).tolist()
        warped = self._warp(image, cv2.INTER_LINEAR, mean)
        return cv2.filter2D(warped, -1, line_kernel(self.blur), borderType=cv2.BORDER_REPLICATE)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        """(H, W) mask -> the same size, 0 where nothing is known."""
        return self._warp(segmentation, cv2.INTER_NEAREST, 0)

    def _warp(self, image: np.ndarray, interpolation: int, border: Any) -> np.ndarray:
        # OpenCV's points are relative to the first pixel's centre, ours to its corner.
        to_corner = self.matrix[:, :2].sum(axis=1) / 2 - 0.5
        matrix = np.column_stack([self.matrix[:, :2], self.matrix[:, 2] + to_corner])
        size = image.shape[1::-1]
        return cv2.warpAffine(image, matrix, size, flags=interpolation, borderValue=border)


def line_kernel(line: np.ndarray) -> np.ndarray:
    """(2,) x and y of a line, in pixels -> a square kernel that averages along it."""
    radius = int(np.ceil(np.abs(line).max() / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    points = np.linspace(-0.5, 0.5, 20 * radius + 1)[:, None] * line
    x, y = np.rint(points).astype(int).T + radius
    np.add.at(kernel, (y, x), 1)
    return kernel / kernel.sum()


class RandomWarp(T.Augmentation):
    """Draws an ``AffineWarp``; each of its parts is uniform up to a limit, either way."""

    def __init__(
        self, rotation: float, scale: float, shear: float, translation: float, blur: float
    ):
        """
        Args:
            rotation: degrees, about the middle of the image.
            scale: the factor, 1 or more, by which the image is enlarged or reduced at most.
            shear: degrees.
            translation: a share of the image's width and height.
            blur: motion blur, a share of the translation.
        """
        super().__init__()
        if scale < 1:
            raise InputError(f"INPUT.IMAGE_WARP.SCALE must be 1 or more, not {scale}")
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> AffineWarp:
        """The transform for an (H, W, 3) image."""
        size = np.array(image.shape[1::-1])
        turn, zoom, slant, x, y, open_time = np.random.uniform(-1, 1, 6)
        angle = np.deg2rad(self.rotation * turn)
        rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1, np.tan(np.deg2rad(self.shear * slant))], [0, 1]])
        linear = self.scale**zoom * rotate @ shear
        shift = self.translation * size * (x, y)
        middle = size / 2
        matrix = np.column_stack([linear, middle + shift - linear @ middle])
        return AffineWarp(matrix, self.blur * abs(open_time) * shift)


def build_image_warp(cfg: Any) -> RandomWarp:
    """From ``cfg.INPUT.IMAGE_WARP``."""
    return RandomWarp(**{key.lower(): value for key, value in cfg.INPUT.IMAGE_WARP.items()})
