"""Drawing MovingShapes: synthetic videos of textured, deforming shapes over moving backgrounds."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

CATEGORIES = (
    "disk",
    "square",
    "triangle",
    "star",
    "ring",
    "cross",
    "crescent",
    "heart",
    "arrow",
    "hourglass",
)
# To be raised with every change of what is drawn: a data set tells which drawing it holds.
VERSION = 2
# An object with fewer visible pixels than this counts as not seen.
MIN_VISIBLE_PIXELS = 12
TEXTURE_SIDE = 64
# An object's colours are at least this far (Euclidean, RGB) from the background's, if possible.
COLOR_DISTANCE = 90.0


@dataclass
class _Shape:
    """An object or a piece of clutter, and how it moves; lengths in pixels, times in frames."""

    outlines: list[np.ndarray]  # closed polygons (P, 2) within the unit circle, even-odd filled
    texture: np.ndarray  # (TEXTURE_SIDE, TEXTURE_SIDE, 3) float32, moves with the shape
    radius: float
    center: np.ndarray  # (2,) x, y of the path's middle
    amplitude: np.ndarray  # (2,) of the path around it
    frequency: np.ndarray  # (2,) radians a frame
    phase: np.ndarray  # (2,)
    spin: float  # radians a frame
    pulse: tuple[float, float, float]  # scale change: strength, frequency, phase
    wobble: tuple[float, float, float]  # deformation of the outline: the same
    squeeze: float  # ratio of the axes

    def placed(self, t: float) -> np.ndarray:
        """(2, 3) affine from the unit circle to the frame at time t."""
        x, y = self.center + self.amplitude * np.sin(self.frequency * t + self.phase)
        scale = self.radius * (1 + self.pulse[0] * np.sin(self.pulse[1] * t + self.pulse[2]))
        angle = self.phase.sum() + self.spin * t
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        return np.array([[cos * self.squeeze, -sin, x], [sin * self.squeeze, cos, y]])

    def polygons(self, t: float, affine: np.ndarray) -> list[np.ndarray]:
        """The outlines at time t, each (P, 2), in pixels of the frame."""
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
    """A shape at one instant, within its box in the frame."""

    index: int  # of the shape in the scene
    box: tuple[slice, slice]  # rows and columns of the frame
    alpha: np.ndarray  # (h, w) uint8 coverage of the box, 0..255, with smooth edges
    affine: np.ndarray  # (2, 3) from the unit circle to the box


@dataclass
class _Scene:
    """All that a video shows: a panning background, and shapes from back to front."""

    size: tuple[int, int]  # height, width
    background: np.ndarray  # (side, side, 3) float32, twice as large as the frame
    pan: np.ndarray  # (2,) of the background, pixels a frame
    shake: tuple[float, np.ndarray]  # of the camera, so of everything: strength, phase (2,)
    shapes: list[_Shape]

    def shift(self, t: float) -> np.ndarray:
        """(2,) by how many pixels the camera's shake moves everything at time t."""
        strength, phase = self.shake
        return strength * np.sin(np.array([1.7, 2.3]) * t + phase)

    def layers(self, t: float) -> Iterator[_Layer]:
        """The shapes that are in the frame at time t, from back to front."""
        frame_end = np.array(self.size[::-1])
        for index, shape in enumerate(self.shapes):
            affine = shape.placed(t)
            affine[:, 2] += self.shift(t)
            polygons = shape.polygons(t, affine)
            corners = np.concatenate(polygons)
            start = np.clip(np.floor(corners.min(0)) - 1, 0, frame_end).astype(int)
            end = np.clip(np.ceil(corners.max(0)) + 2, 0, frame_end).astype(int)
            if (start >= end).any():
                continue
            alpha = np.zeros(tuple(end - start)[::-1], np.uint8)
            # OpenCV takes corners in 1/16 pixel.
            fixed = [np.round((polygon - start) * 16).astype(np.int32) for polygon in polygons]
            cv2.fillPoly(alpha, fixed, 255, cv2.LINE_AA, shift=4)
            affine[:, 2] -= start
            yield _Layer(index, (slice(start[1], end[1]), slice(start[0], end[0])), alpha, affine)

    def render(self, t: float) -> np.ndarray:
        """(height, width, 3) float32: the scene at one instant."""
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
        """What nothing in front hides of the first ``number`` shapes, (height, width) bool each.

        None where an object cannot be seen.
        """
        front = np.full(self.size, -1)
        for layer in self.layers(t):
            front[layer.box][layer.alpha >= 128] = layer.index
        masks = [front == index for index in range(number)]
        return [mask if mask.sum() >= MIN_VISIBLE_PIXELS else None for mask in masks]


def draw_video(
    rng: np.random.Generator, height: int, width: int, length: int, hard: bool
) -> tuple[list[np.ndarray], list[tuple[int, list[np.ndarray | None]]]]:
    """Draw one video.

    Args:
        rng: where all of its randomness comes from.
        height, width, length: of the video, in pixels and frames.
        hard: faster, more crowded and with more occlusion, so that the masks of an object in
            neighbouring frames barely overlap.

    Returns:
        the frames, (height, width, 3) uint8 RGB, and for each object its index in
        ``CATEGORIES`` and its visible mask in each frame, (height, width) bool or None.
    """
    colors = _colors(rng, contrast=50)
    background = _background(rng, 2 * max(height, width), colors)
    objects, categories = _draw_objects(rng, height, width, length, hard, colors)
    number_of_bars = rng.integers(0, 4 if hard else 3)
    clutter = [_draw_clutter(rng, height, width, colors) for _ in range(number_of_bars)]
    scene = _Scene(
        size=(height, width),
        background=background,
        pan=rng.uniform(-2, 2, 2) * height / 128,
        shake=(rng.uniform(0, 1), rng.uniform(0, 2 * np.pi, 2)),
        shapes=objects + clutter,
    )
    # Odd numbers of exposures: the central one is the instant that the masks show.
    exposures = np.linspace(-0.075, 0.075, 5) if hard else np.linspace(-0.2, 0.2, 3)
    frames, masks = [], []
    for t in range(length):
        frame = sum(scene.render(t + exposure) for exposure in exposures) / len(exposures)
        frame += rng.normal(0, 3, (height, width, 1))
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
        masks.append(scene.visible_masks(t, len(objects)))
    tracks = [(category, [m[i] for m in masks]) for i, category in enumerate(categories)]
    return frames, tracks


def _draw_objects(
    rng: np.random.Generator,
    height: int,
    width: int,
    length: int,
    hard: bool,
    background_colors: np.ndarray,
) -> tuple[list[_Shape], list[int]]:
    """Objects from back to front, and their categories."""
    number = rng.integers(3, 7) if hard else rng.integers(1, 5)
    categories = rng.integers(0, len(CATEGORIES), number)
    # Several objects of one category in a video, more often than chance has it.
    for i in range(1, number):
        if rng.random() < 0.35:
            categories[i] = categories[rng.integers(0, i)]
    objects = []
    for category in categories:
        radius = height * rng.uniform(0.11, 0.24 if hard else 0.28)
        if hard:
            path = _fast_path(rng, height, width, radius)
        elif objects and rng.random() < 0.3:  # never the first: a video always shows something
            path = _path_out_and_back(rng, height, width, length, radius)
        else:
            path = _wandering_path(rng, height, width, height * rng.uniform(0.01, 0.055))
        objects.append(
            _Shape(
                outlines=_outlines(CATEGORIES[category]),
                texture=_texture(rng, _colors(rng, rng.uniform(60, 120), background_colors)),
                radius=radius,
                **path,
                spin=rng.uniform(-0.08, 0.08),
                pulse=(rng.uniform(0, 0.2), rng.uniform(0.05, 0.25), rng.uniform(0, 7)),
                wobble=(rng.uniform(0, 0.16), rng.uniform(0.1, 0.4), rng.uniform(0, 7)),
                squeeze=rng.uniform(0.8, 1.0),
            )
        )
    return objects, [int(c) for c in categories]


def _wandering_path(
    rng: np.random.Generator, height: int, width: int, speed: float, wider: float = 0
) -> dict[str, np.ndarray]:
    """A path around the middle of the frame, made ``wider`` along one axis."""
    amplitude = np.array([width, height]) * rng.uniform(0.15, 0.42, 2)
    amplitude[rng.integers(2)] += wider
    phase = rng.uniform(0, 2 * np.pi, 2)
    # About a quarter turn apart: an object never stops in both directions at once.
    phase[1] = phase[0] + rng.uniform(0.25, 0.75) * np.pi
    return {
        "center": np.array([width, height]) * rng.uniform(0.3, 0.7, 2),
        "amplitude": amplitude,
        "frequency": speed / np.hypot(*amplitude) * rng.uniform(0.8, 1.2, 2) * np.sqrt(2),
        "phase": phase,
    }


def _fast_path(
    rng: np.random.Generator, height: int, width: int, radius: float
) -> dict[str, np.ndarray]:
    """More than half a diameter a frame; some of these paths lead out of the frame and back."""
    wider = height * 0.35 if rng.random() < 0.3 else 0
    return _wandering_path(rng, height, width, 2 * radius * rng.uniform(0.3, 0.5), wider)


def _path_out_and_back(
    rng: np.random.Generator, height: int, width: int, length: int, radius: float
) -> dict[str, np.ndarray]:
    """Out of the frame over one of its edges around the video's middle, and back."""
    path = _wandering_path(rng, height, width, height * rng.uniform(0.01, 0.03))
    axis, side = rng.integers(2), rng.choice([-1, 1])
    inset = height * rng.uniform(0.15, 0.3)
    edge = (width, height)[axis] if side > 0 else 0
    amplitude = inset + radius * rng.uniform(1.2, 1.5)
    frequency = height * rng.uniform(0.045, 0.06) / amplitude
    path["center"][axis] = edge - side * inset
    path["amplitude"][axis] = amplitude
    path["frequency"][axis] = frequency
    path["phase"][axis] = side * np.pi / 2 - frequency * length * rng.uniform(0.35, 0.65)
    return path


def _draw_clutter(
    rng: np.random.Generator, height: int, width: int, background_colors: np.ndarray
) -> _Shape:
    """A thin bar in front of everything, of no category."""
    outline = np.array([[-1, -0.07], [1, -0.07], [1, 0.07], [-1, 0.07]])
    return _Shape(
        outlines=[outline],
        texture=_texture(rng, _colors(rng, rng.uniform(60, 120), background_colors)),
        radius=height * rng.uniform(0.3, 0.7),
        center=np.array([width, height]) * rng.uniform(0, 1, 2),
        amplitude=height * rng.uniform(0, 0.2, 2),
        frequency=rng.uniform(0.02, 0.1, 2),
        phase=rng.uniform(0, 2 * np.pi, 2),
        spin=rng.uniform(-0.02, 0.02),
        pulse=(0, 0, 0),
        wobble=(0, 0, 0),
        squeeze=1.0,
    )


def _outlines(category: str) -> list[np.ndarray]:
    """Closed polygons of a category's shape, within the unit circle."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    if category == "disk":
        return [circle * 0.9]
    if category == "ring":
        return [circle * 0.95, circle * 0.5]
    if category == "crescent":
        outer = circle[(circle[:, 0] < 0.5)] * 0.98
        outer = outer[np.argsort(np.arctan2(outer[:, 1], -outer[:, 0]))]
        bend = np.linspace(outer[-1, 1], outer[0, 1], 20)
        inner = np.stack([0.45 - 0.75 * np.sqrt(np.clip(1 - (bend / 0.87) ** 2, 0, 1)), bend], 1)
        return [np.concatenate([outer, inner[1:-1]])]
    if category == "heart":
        x = 16 * np.sin(turn) ** 3
        y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
        return [np.stack([x, y + 2], 1) / 17]
    if category == "star":
        radius = np.tile([1.0, 0.4], 5)
        return [_dense(_circle_points(10) * radius[:, None])]
    if category == "square":
        return [_dense(_circle_points(4) * 0.98)]
    if category == "triangle":
        return [_dense(_circle_points(3) * 1.0)]
    if category == "cross":
        a, b = 0.3, 0.95
        corners = [(a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
        corners += [(a, -b), (a, -a), (b, -a), (b, a), (a, a)]
        corners.insert(6, (-a, -b))
        return [_dense(np.array(corners))]
    if category == "arrow":
        corners = [(1, 0), (0.15, 0.75), (0.15, 0.28), (-0.95, 0.28)]
        corners += [(-0.95, -0.28), (0.15, -0.28), (0.15, -0.75)]
        return [_dense(np.array(corners))]
    if category == "hourglass":
        corners = [(-0.7, -0.72), (0.7, -0.72), (0.13, 0), (0.7, 0.72), (-0.7, 0.72), (-0.13, 0)]
        return [_dense(np.array(corners))]
    raise ValueError(f"unknown category '{category}'")


def _circle_points(number: int) -> np.ndarray:
    """(number, 2) points spread over the unit circle."""
    turn = np.linspace(0, 2 * np.pi, number, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def _dense(corners: np.ndarray) -> np.ndarray:
    """More points along the edges, so that they bend when the outline wobbles."""
    share = np.linspace(0, 1, 6, endpoint=False)[:, None]
    edges = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    return np.concatenate([a + (b - a) * share for a, b in edges])


def _colors(
    rng: np.random.Generator, contrast: float, avoid: np.ndarray | None = None
) -> np.ndarray:
    """(2, 3) float: two RGB colours, apart from the colours between those of ``avoid`` (2, 3)."""
    best, best_distance = None, -1.0
    for _ in range(20):
        direction = rng.normal(size=3)
        first = rng.uniform(20, 235, 3)
        second = first + contrast * np.sqrt(3) * direction / np.linalg.norm(direction)
        colors = np.clip([first, second], 0, 255)
        if avoid is None:
            return colors
        distance = np.linalg.norm(_blends(colors)[:, None] - _blends(avoid)[None], axis=2).min()
        if distance > best_distance:
            best, best_distance = colors, distance
        if distance >= COLOR_DISTANCE:
            break
    return best


def _blends(colors: np.ndarray) -> np.ndarray:
    """(5, 3) colours from the first of ``colors`` (2, 3) to the second."""
    share = np.linspace(0, 1, 5)[:, None]
    return colors[0] * (1 - share) + colors[1] * share


def _mixed(colors: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(side, side, 3) float32: a mixture of two colours (2, 3), by ``share`` (side, side)."""
    share = np.clip(np.asarray(share, np.float32), 0, 1)[..., None]
    return (colors[0] + (colors[1] - colors[0]) * share).astype(np.float32)


def _noise(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """(side, side) float32: smooth noise, mostly in [0, 1]."""
    coarse = rng.random((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def _background(rng: np.random.Generator, side: int, colors: np.ndarray) -> np.ndarray:
    """(side, side, 3) float32: coarse and fine smooth noise."""
    coarse, fine = _noise(rng, side, 16), _noise(rng, side, 64)
    weight = rng.uniform(0.1, 0.4)
    return _mixed(colors, (1 - weight) * coarse + weight * fine)


def _texture(rng: np.random.Generator, colors: np.ndarray) -> np.ndarray:
    """(TEXTURE_SIDE, TEXTURE_SIDE, 3) float32: stripes, checks, a gradient, or smooth noise."""
    y, x = np.mgrid[:TEXTURE_SIDE, :TEXTURE_SIDE] / TEXTURE_SIDE
    kind = rng.integers(4)
    waves = 2 * np.pi * rng.uniform(1.5, 4)
    angle = rng.uniform(0, np.pi)
    along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    if kind == 0:
        share = np.sin(waves * along) > 0
    elif kind == 1:
        share = np.sin(waves * x) * np.sin(waves * y) > 0
    elif kind == 2:
        share = along + 0.5
    else:
        share = _noise(rng, TEXTURE_SIDE, TEXTURE_SIDE // 8)
    return _mixed(colors, cv2.GaussianBlur(np.asarray(share, np.float32), (3, 3), 0))
