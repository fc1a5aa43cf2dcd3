"""Drawing MovingShapes: synthetic videos of textured, deforming shapes over moving backgrounds."""

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
# An object with fewer visible pixels than this counts as not seen.
MIN_VISIBLE_PIXELS = 12
TEXTURE_SIDE = 64


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
        """The outlines at time t in 1/16 pixel, for OpenCV."""
        strength, frequency, phase = self.wobble
        polygons = []
        for outline in self.outlines:
            angle = np.arctan2(outline[:, 1], outline[:, 0])
            waves = np.sin(2 * angle + frequency * t + phase) + np.sin(3 * angle - frequency * t)
            points = outline * (1 + strength * waves / 2)[:, None]
            points = points @ affine[:, :2].T + affine[:, 2]
            polygons.append(np.round(points * 16).astype(np.int32))
        return polygons


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
    background = _texture(rng, 2 * max(height, width), calm=True)
    objects, categories = _draw_objects(rng, height, width, hard)
    clutter = [_draw_clutter(rng, height, width) for _ in range(rng.integers(0, 4 if hard else 3))]
    camera = (rng.uniform(-2, 2, 2), rng.uniform(0, 1.0), rng.uniform(0, 7, 2))
    shutter, exposures = (0.15, 4) if hard else (0.4, 3)
    frames, masks = [], []
    for t in range(length):
        times = t + shutter * (np.arange(exposures) / (exposures - 1) - 0.5)
        shots = [_render(background, camera, objects + clutter, height, width, s) for s in times]
        frame = np.mean(shots, axis=0) + rng.normal(0, 3, (height, width, 1))
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
        masks.append(_visible_masks(objects, clutter, height, width, t))
    tracks = [
        (category, [m[i] if m[i].sum() >= MIN_VISIBLE_PIXELS else None for m in masks])
        for i, category in enumerate(categories)
    ]
    return frames, tracks


def _draw_objects(
    rng: np.random.Generator, height: int, width: int, hard: bool
) -> tuple[list[_Shape], list[int]]:
    number = rng.integers(3, 7) if hard else rng.integers(1, 5)
    categories = rng.integers(0, len(CATEGORIES), number)
    # Several objects of one category in a video, more often than chance has it.
    for i in range(1, number):
        if rng.random() < 0.35:
            categories[i] = categories[rng.integers(0, i)]
    objects = []
    for category in categories:
        radius = height * rng.uniform(0.11, 0.24 if hard else 0.28)
        speed = 2 * radius * rng.uniform(0.4, 1.0) if hard else height * rng.uniform(0.01, 0.055)
        amplitude = np.array([width, height]) * rng.uniform(0.15, 0.42, 2)
        # Some paths lead out of the frame and back.
        if rng.random() < 0.3:
            amplitude[rng.integers(2)] += height * 0.35
        frequency = speed / np.hypot(*amplitude) * rng.uniform(0.8, 1.2, 2) * np.sqrt(2)
        phase = rng.uniform(0, 2 * np.pi, 2)
        # Half a turn apart at most: an object never stops in both directions at once.
        phase[1] = phase[0] + rng.uniform(0.25, 0.75) * np.pi
        objects.append(
            _Shape(
                outlines=_outlines(CATEGORIES[category]),
                texture=_texture(rng, TEXTURE_SIDE),
                radius=radius,
                center=np.array([width, height]) * rng.uniform(0.3, 0.7, 2),
                amplitude=amplitude,
                frequency=frequency,
                phase=phase,
                spin=rng.uniform(-0.08, 0.08),
                pulse=(rng.uniform(0, 0.2), rng.uniform(0.05, 0.25), rng.uniform(0, 7)),
                wobble=(rng.uniform(0, 0.16), rng.uniform(0.1, 0.4), rng.uniform(0, 7)),
                squeeze=rng.uniform(0.8, 1.0),
            )
        )
    return objects, [int(c) for c in categories]


def _draw_clutter(rng: np.random.Generator, height: int, width: int) -> _Shape:
    """A thin bar in front of everything, of no category."""
    outline = np.array([[-1, -0.07], [1, -0.07], [1, 0.07], [-1, 0.07]])
    return _Shape(
        outlines=[outline],
        texture=_texture(rng, TEXTURE_SIDE),
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
        return [_dense(circle_points(10) * radius[:, None])]
    if category == "square":
        return [_dense(circle_points(4) * 0.98)]
    if category == "triangle":
        return [_dense(circle_points(3) * 1.0)]
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


def circle_points(number: int) -> np.ndarray:
    """(number, 2) points spread over the unit circle."""
    turn = np.linspace(0, 2 * np.pi, number, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def _dense(corners: np.ndarray) -> np.ndarray:
    """More points along the edges, so that they bend when the outline wobbles."""
    share = np.linspace(0, 1, 6, endpoint=False)[:, None]
    edges = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    return np.concatenate([a + (b - a) * share for a, b in edges])


def _texture(rng: np.random.Generator, side: int, calm: bool = False) -> np.ndarray:
    """(side, side, 3) float32: two colours mixed by stripes, checks, or smooth noise."""
    dark = rng.uniform(20, 235, 3)
    contrast = 50 if calm else rng.uniform(60, 120)
    direction = rng.normal(size=3)
    bright = dark + contrast * direction / np.linalg.norm(direction) * np.sqrt(3)
    y, x = np.mgrid[:side, :side] / TEXTURE_SIDE
    kind = rng.integers(4) if not calm else 3
    waves = rng.uniform(1.5, 4)
    angle = rng.uniform(0, np.pi)
    if kind == 0:
        mix = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle))) > 0
    elif kind == 1:
        mix = np.sin(2 * np.pi * waves * x) * np.sin(2 * np.pi * waves * y) > 0
    elif kind == 2:
        mix = x * np.cos(angle) + y * np.sin(angle)
    else:
        cells = max(side // (24 if calm else 8), 2)
        noise = rng.random((cells, cells)).astype(np.float32)
        mix = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    mix = cv2.GaussianBlur(np.asarray(mix, np.float32), (3, 3), 0)[..., None]
    return np.clip(dark + (bright - dark) * mix, 0, 255).astype(np.float32)


def _alpha(shape: _Shape, affine: np.ndarray, height: int, width: int, t: float) -> np.ndarray:
    """(height, width) uint8 coverage, 0..255, with smooth edges."""
    alpha = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha, shape.polygons(t, affine), 255, cv2.LINE_AA, shift=4)
    return alpha


def _render(
    background: np.ndarray,
    camera: tuple[np.ndarray, float, np.ndarray],
    shapes: list[_Shape],
    height: int,
    width: int,
    t: float,
) -> np.ndarray:
    """(height, width, 3) float32: the scene at one instant, shapes from back to front."""
    pan, shake, phase = camera
    shift = pan * t + shake * np.sin(np.array([1.7, 2.3]) * t + phase)
    to_frame = np.float32([[1, 0, shift[0] - width / 2], [0, 1, shift[1] - height / 2]])
    frame = cv2.warpAffine(background, to_frame, (width, height), borderMode=cv2.BORDER_REFLECT)
    for shape in shapes:
        affine = shape.placed(t)
        alpha = _alpha(shape, affine, height, width, t)
        half = TEXTURE_SIDE / 2
        from_texture = affine @ np.array([[1 / half, 0, -1], [0, 1 / half, -1], [0, 0, 1]])
        color = cv2.warpAffine(
            shape.texture, from_texture, (width, height), borderMode=cv2.BORDER_REFLECT
        )
        frame += (color - frame) * (alpha[..., None] / np.float32(255))
    return frame


def _visible_masks(
    objects: list[_Shape], clutter: list[_Shape], height: int, width: int, t: float
) -> list[np.ndarray]:
    """For each object the pixels that nothing in front of it hides, (height, width) bool."""
    hidden = np.zeros((height, width), bool)
    masks = []
    for shape in reversed(objects + clutter):
        covered = _alpha(shape, shape.placed(t), height, width, t) >= 128
        masks.append(covered & ~hidden)
        hidden |= covered
    return masks[::-1][: len(objects)]
