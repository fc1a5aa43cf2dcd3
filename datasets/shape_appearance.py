"""Outlines, colours and textures of MovingShapes."""

import cv2
import numpy as np

TEXTURE_SIDE = 64
# An object's colours are at least this far (Euclidean, RGB) from the background's, if possible.
COLOR_DISTANCE = 90.0


def _circle(number: int) -> np.ndarray:
    """(number, 2) points spread evenly over the unit circle."""
    angle = np.linspace(0, 2 * np.pi, number, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def _densify(corners: np.ndarray) -> np.ndarray:
    """Add points along the edges, so that the edges bend when the outline deforms."""
    share = np.linspace(0, 1, 6, endpoint=False)[:, None]
    edges = zip(corners, np.roll(corners, -1, axis=0), strict=True)
    return np.concatenate([a + (b - a) * share for a, b in edges])


def _crescent() -> np.ndarray:
    circle = _circle(48)
    outer = circle[(circle[:, 0] < 0.5)] * 0.98
    outer = outer[np.argsort(np.arctan2(outer[:, 1], -outer[:, 0]))]
    bend = np.linspace(outer[-1, 1], outer[0, 1], 20)
    inner = np.stack([0.45 - 0.75 * np.sqrt(np.clip(1 - (bend / 0.87) ** 2, 0, 1)), bend], 1)
    return np.concatenate([outer, inner[1:-1]])


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y + 2], 1) / 17


_STAR = _circle(10) * np.tile([1.0, 0.4], 5)[:, None]
_CROSS = [
    *((0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3)),
    *((-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3)),
]
_ARROW = [
    *((1, 0), (0.15, 0.75), (0.15, 0.28), (-0.95, 0.28)),
    *((-0.95, -0.28), (0.15, -0.28), (0.15, -0.75)),
]
_HOURGLASS = [(-0.7, -0.72), (0.7, -0.72), (0.13, 0), (0.7, 0.72), (-0.7, 0.72), (-0.13, 0)]

OUTLINES = {
    "disk": [_circle(48) * 0.9],
    "square": [_densify(_circle(4) * 0.98)],
    "triangle": [_densify(_circle(3))],
    "star": [_densify(_STAR)],
    "ring": [_circle(48) * 0.95, _circle(48) * 0.5],
    "cross": [_densify(np.array(_CROSS))],
    "crescent": [_crescent()],
    "heart": [_heart()],
    "arrow": [_densify(np.array(_ARROW))],
    "hourglass": [_densify(np.array(_HOURGLASS))],
}
"""For each category closed polygons (P, 2) within the unit circle, filled by the even-odd rule."""


def draw_colors(
    rng: np.random.Generator, contrast: float, avoid: np.ndarray | None = None
) -> np.ndarray:
    """(2, 3) float: two RGB colours, if possible far from the blends of the colours ``avoid``."""
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


def draw_background(rng: np.random.Generator, side: int, colors: np.ndarray) -> np.ndarray:
    """(side, side, 3) float32: coarse and fine smooth noise."""
    coarse, fine = _noise(rng, side, 16), _noise(rng, side, 64)
    weight = rng.uniform(0.1, 0.4)
    return _mix(colors, (1 - weight) * coarse + weight * fine)


def draw_texture(rng: np.random.Generator, colors: np.ndarray) -> np.ndarray:
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
    return _mix(colors, cv2.GaussianBlur(np.asarray(share, np.float32), (3, 3), 0))


def _blends(colors: np.ndarray) -> np.ndarray:
    """(5, 3) colours from the first of ``colors`` (2, 3) to the second."""
    share = np.linspace(0, 1, 5)[:, None]
    return colors[0] * (1 - share) + colors[1] * share


def _mix(colors: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(side, side, 3) float32: two colours (2, 3) mixed by ``share`` (side, side)."""
    share = np.clip(np.asarray(share, np.float32), 0, 1)[..., None]
    return (colors[0] + (colors[1] - colors[0]) * share).astype(np.float32)


def _noise(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """(side, side) float32: smooth noise, mostly in [0, 1]."""
    coarse = rng.random((cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
