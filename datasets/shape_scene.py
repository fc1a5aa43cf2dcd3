"""Moving, deforming shapes over a panning background: rendering and visible masks."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from shape_appearance import TEXTURE_SIDE

MIN_VISIBLE_PIXELS = 12
"""An object with fewer visible pixels counts as not seen."""


@dataclass
class Shape:
    """An object or a piece of clutter, and how it moves. Lengths are in pixels, times in frames."""

    outlines: list[np.ndarray]  # closed polygons (P, 2) within the unit circle
    texture: np.ndarray  # (TEXTURE_SIDE, TEXTURE_SIDE, 3) float32, moves with the shape
    radius: float
    center: np.ndarray  # (2,) x, y of the middle of the path
    amplitude: np.ndarray  # (2,) of the path
    frequency: np.ndarray  # (2,) radians per frame
    phase: np.ndarray  # (2,)
    spin: float = 0.0  # radians per frame
    pulse: tuple[float, float, float] = (0, 0, 0)  # scale change: strength, frequency, phase
    wobble: tuple[float, float, float] = (0, 0, 0)  # deformation of the outline: the same
    squeeze: float = 1.0  # ratio of the axes
    pause: tuple[float, float] = (0, 0)  # of the path: start, duration

    def affine(self, t: float) -> np.ndarray:
        """(2, 3) affine map from the unit circle to the frame at time t."""
        moving = t - np.clip(t - self.pause[0], 0, self.pause[1])
        x, y = self.center + self.amplitude * np.sin(self.frequency * moving + self.phase)
        scale = self.radius * (1 + self.pulse[0] * np.sin(self.pulse[1] * t + self.pulse[2]))
        angle = self.phase.sum() + self.spin * t
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        return np.array([[cos * self.squeeze, -sin, x], [sin * self.squeeze, cos, y]])

    def polygons(self, t: float, affine: np.ndarray) -> list[np.ndarray]:
        """The deformed outlines at time t, each (P, 2), mapped by ``affine``."""
        strength, frequency, phase = self.wobble
        polygons = []
        for outline in self.outlines:
            angle = np.arctan2(outline[:, 1], outline[:, 0])
            waves = np.sin(2 * angle + frequency * t + phase) + np.sin(3 * angle - frequency * t)
            points = outline * (1 + strength * waves / 2)[:, None]
            polygons.append(points @ affine[:, :2].T + affine[:, 2])
        return polygons


@dataclass
class _Layer:
    """A shape at one time, within its box in the frame."""

    index: int  # of the shape in the scene
    box: tuple[slice, slice]  # rows and columns of the frame
    alpha: np.ndarray  # (h, w) uint8 coverage of the box, 0 to 255, anti-aliased
    affine: np.ndarray  # (2, 3) from the unit circle to the box


@dataclass
class Scene:
    """What a video shows."""

    size: tuple[int, int]  # height, width
    background: np.ndarray  # (side, side, 3) float32, twice as large as the frame
    pan: np.ndarray  # (2,) motion of the background, pixels per frame
    shake: tuple[float, np.ndarray]  # camera shake, of everything: strength, phase (2,)
    shapes: list[Shape]  # from back to front

    def shift(self, t: float) -> np.ndarray:
        """(2,) offset by camera shake at time t, in pixels."""
        strength, phase = self.shake
        return strength * np.sin(np.array([1.7, 2.3]) * t + phase)

    def layers(self, t: float) -> Iterator[_Layer]:
        """The shapes in the frame at time t, from back to front."""
        frame_end = np.array(self.size[::-1])
        for index, shape in enumerate(self.shapes):
            affine = shape.affine(t)
            affine[:, 2] += self.shift(t)
            polygons = shape.polygons(t, affine)
            corners = np.concatenate(polygons)
            start = np.clip(np.floor(corners.min(0)) - 1, 0, frame_end).astype(int)
            end = np.clip(np.ceil(corners.max(0)) + 2, 0, frame_end).astype(int)
            if (start >= end).any():
                continue
            alpha = np.zeros(tuple(end - start)[::-1], np.uint8)
            # OpenCV takes fixed-point coordinates, here in 1/16 pixel.
            fixed = [np.round((polygon - start) * 16).astype(np.int32) for polygon in polygons]
            cv2.fillPoly(alpha, fixed, 255, cv2.LINE_AA, shift=4)
            affine[:, 2] -= start
            yield _Layer(index, (slice(start[1], end[1]), slice(start[0], end[0])), alpha, affine)

    def render(self, t: float) -> np.ndarray:
        """(height, width, 3) float32: the scene at time t."""
        height, width = self.size
        x, y = self.pan * t + self.shift(t) - np.array([width, height]) / 2
        frame = cv2.warpAffine(
            self.background,
            np.array([[1, 0, x], [0, 1, y]]),
            (width, height),
            borderMode=cv2.BORDER_REFLECT,
        )
        half = TEXTURE_SIDE / 2
        to_unit = np.array([[1 / half, 0, -1], [0, 1 / half, -1], [0, 0, 1]])
        for layer in self.layers(t):
            color = cv2.warpAffine(
                self.shapes[layer.index].texture,
                layer.affine @ to_unit,
                layer.alpha.shape[::-1],
                borderMode=cv2.BORDER_REFLECT,
            )
            patch = frame[layer.box]
            patch += (color - patch) * (layer.alpha[..., None] / np.float32(255))
        return frame

    def visible_masks(self, t: float, number: int) -> list[np.ndarray | None]:
        """(height, width) bool masks of what is visible of the first ``number`` shapes at time t,
        None for shapes that cannot be seen."""
        front = np.full(self.size, -1)
        for layer in self.layers(t):
            front[layer.box][layer.alpha >= 128] = layer.index
        masks = [front == index for index in range(number)]
        return [mask if mask.sum() >= MIN_VISIBLE_PIXELS else None for mask in masks]
