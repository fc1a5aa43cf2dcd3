"""Synthetic training clips: images that move and deform, with pieces of other images pasted on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
VIDEO_SUFFIXES = {".mp4", ".mkv", ".gif", ".avi", ".webm"}
SIDE = 432
"""Longer side of the images that clips are made of."""
SIZE = 192, 256
"""Height and width of a clip."""
FRAMES_PER_VIDEO = 24
MAX_OBJECTS = 4


@dataclass
class Clip:
    """Frames with the masks of all objects, which do not overlap.

    Attributes:
        times: frame indices, ascending from 0.
        frames: (L, H, W, 3) uint8 RGB.
        masks: (L, N, H, W) bool.
    """

    times: list[int]
    frames: np.ndarray
    masks: np.ndarray


def load_files(folders: list[Path]) -> list[list[list[np.ndarray]]]:
    """Read all images and videos in folders.

    Returns:
        for each file a list of runs; a run is a list of consecutive frames, (H, W, 3) uint8 RGB.
        An image is one run of one frame.

    Raises:
        SystemExit: if there is none.
    """
    files = []
    for path in sorted(x for folder in folders for x in folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is not None and min(image.shape[:2]) >= 100:
                files.append([[_resize(image)]])
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            files.append(list(_video_runs(path)))
    files = [runs for runs in files if runs]
    if not files:
        raise SystemExit(f"no images or videos in {', '.join(map(str, folders))}")
    return files


def _video_runs(path: Path) -> Iterator[list[np.ndarray]]:
    """Runs of 8 consecutive frames, spread over the video."""
    video = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = video.read()
        if not good:
            break
        frames.append(cv2.imencode(".jpg", _resize(frame)[..., ::-1])[1])
    if not frames:
        return
    for start in np.linspace(0, max(len(frames) - 8, 0), FRAMES_PER_VIDEO).astype(int):
        yield [cv2.imdecode(x, cv2.IMREAD_COLOR)[..., ::-1] for x in frames[start : start + 8]]


def _resize(image: np.ndarray) -> np.ndarray:
    scale = SIDE / max(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]


def make_clip(files: list[list[list[np.ndarray]]], length: int, rng: Generator) -> Clip:
    """Draw one clip of ``length`` frames."""
    times = np.concatenate([[0], np.cumsum(rng.integers(1, 5, length - 1))]).tolist()
    while True:
        clip = _try_clip(files, times, rng)
        seen = clip.masks[0].sum((1, 2)) > 80
        if seen.any():
            return Clip(times, clip.frames, clip.masks[:, seen])


def _try_clip(files: list[list[list[np.ndarray]]], times: list[int], rng: Generator) -> Clip:
    background = _choose(files, rng)
    with_regions = rng.random() < 0.5
    if with_regions:  # They move with the image, so nothing else in it may move.
        background = background[:1]
    layers = [_Layer(background, None, rng, speed=_speed(rng) * rng.choice([0.0, 0.5, 1.0]))]
    regions = []
    if with_regions:
        regions = _regions(layers[0].textures[0], rng, int(rng.integers(1, 3)))
    texture, shape = _piece(files, rng)
    for _ in range(int(rng.integers(0 if regions else 1, MAX_OBJECTS + 1 - len(regions)))):
        if rng.random() < 0.7:  # Otherwise it looks like the one before.
            texture, shape = _piece(files, rng)
        layers.append(_Layer([texture], shape, rng, speed=_speed(rng)))
    frames, masks = [], []
    for time in times:
        canvas = owner = None
        for i, layer in enumerate(layers):
            image, alpha, warped = layer.draw(time, regions if i == 0 else [])
            if i == 0:
                canvas = image.astype(np.float32)
                owner = np.zeros(SIZE, int)
                for k, region in enumerate(warped):
                    owner[region > 0.5] = k + 1
            else:
                canvas += alpha[..., None] * (image - canvas)
                owner[alpha > 0.5] = len(regions) + i
        frames.append(_photometric(canvas, rng))
        masks.append([owner == k + 1 for k in range(len(regions) + len(layers) - 1)])
    return Clip(times, np.stack(frames), np.stack(masks))


def _choose(files: list[list[list[np.ndarray]]], rng: Generator) -> list[np.ndarray]:
    runs = files[rng.integers(len(files))]
    return runs[rng.integers(len(runs))]


def _speed(rng: Generator) -> float:
    """Pixels per frame."""
    return float(np.exp(rng.uniform(np.log(0.3), np.log(9))))


def _piece(files: list[list[list[np.ndarray]]], rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image and a soft mask of the clip's size, in the middle of which lies an object."""
    sequence = _choose(files, rng)
    texture = _crop(sequence[rng.integers(len(sequence))], rng, rng.uniform(0.5, 1.0))
    shape = _regions(texture, rng, 1)[0] if rng.random() < 0.35 else _blob(rng)
    return texture, cv2.GaussianBlur(shape, (3, 3), 0)


def _crop(image: np.ndarray, rng: Generator, zoom: float) -> np.ndarray:
    """A random part of an image, resized to the clip's size and perhaps flipped."""
    height, width = SIZE
    scale = min(image.shape[0] / height, image.shape[1] / width) * zoom
    h, w = int(height * scale), int(width * scale)
    y, x = rng.integers(image.shape[0] - h + 1), rng.integers(image.shape[1] - w + 1)
    part = cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
    return part[:, ::-1].copy() if rng.random() < 0.5 else part


def _blob(rng: Generator) -> np.ndarray:
    """(H, W) a random smooth or angular shape around the middle."""
    height, width = SIZE
    count = int(rng.integers(3, 12))
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    size = np.exp(rng.uniform(np.log(12), np.log(75)))
    aspect = np.exp(rng.uniform(-0.7, 0.7))
    radii = size * rng.uniform(0.4, 1.0, count)
    points = np.stack([np.cos(angles) * radii * aspect, np.sin(angles) * radii / aspect], axis=1)
    points += (width / 2, height / 2)
    shape = np.zeros(SIZE, np.float32)
    cv2.fillPoly(shape, [points.astype(np.int32)], 1.0)
    if rng.random() < 0.7:
        sigma = size * rng.uniform(0.1, 0.3)
        shape = (cv2.GaussianBlur(shape, (0, 0), sigma) > 0.4).astype(np.float32)
    return shape


def _regions(image: np.ndarray, rng: Generator, count: int) -> list[np.ndarray]:
    """(H, W) masks of parts of an image, bounded by its edges: watersheds of random markers."""
    height, width = SIZE
    markers = np.zeros(SIZE, np.int32)
    num_markers = int(rng.integers(6, 30))
    for k in range(num_markers):
        y, x = rng.integers(4, height - 4), rng.integers(4, width - 4)
        cv2.circle(markers, (int(x), int(y)), 3, k + 1, -1)
    smooth = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 2)))
    markers = cv2.watershed(np.ascontiguousarray(smooth), markers)
    chosen = rng.permutation(num_markers)[:count] + 1
    kernel = np.ones((3, 3), np.uint8)
    masks = [(markers == k).astype(np.uint8) for k in chosen]
    masks = [cv2.morphologyEx(x, cv2.MORPH_OPEN, kernel, iterations=2) for x in masks]
    return [cv2.dilate(x, kernel).astype(np.float32) for x in masks]


class _Layer:
    """An image with a mask that moves, turns, grows and deforms."""

    def __init__(
        self, textures: list[np.ndarray], shape: np.ndarray | None, rng: Generator, speed: float
    ):
        self.is_background = shape is None
        if shape is None:
            state = rng.bit_generator.state
            crops = []
            for texture in textures:  # The same crop of each frame.
                rng.bit_generator.state = state
                crops.append(_crop(texture, rng, 0.9))
            textures = crops
        self.textures, self.shape = textures, shape
        direction = rng.uniform(0, 2 * np.pi)
        self.velocity = speed * np.array([np.cos(direction), np.sin(direction)])
        relative = min(speed / 9, 1)
        self.spin = rng.normal(0, 0.06) * relative
        self.growth = rng.normal(0, 0.03) * relative
        self.start = np.zeros(2)
        self.scale = 1.0
        if shape is not None:
            reach = np.array([SIZE[1], SIZE[0]]) * 0.42
            self.start = rng.uniform(-reach, reach)
            self.scale = float(np.exp(rng.uniform(-0.5, 0.6)))
        # A smooth field, in pixels per frame, and how it changes.
        strength = rng.exponential(1.2) * (0.3 + relative)
        grid = rng.integers(3, 7)
        self.field = np.stack(
            [
                cv2.resize(
                    rng.normal(0, strength, (grid, grid)).astype(np.float32),
                    SIZE[::-1],
                    interpolation=cv2.INTER_CUBIC,
                )
                for _ in range(2)
            ],
            axis=2,
        )

    def draw(
        self, time: int, regions: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """The image, the soft mask, and the given masks on the image, at a time."""
        height, width = SIZE
        y, x = np.mgrid[:height, :width].astype(np.float32)
        center = np.array([width, height]) / 2
        shift = self.start + self.velocity * time
        angle, scale = self.spin * time, self.scale * np.exp(self.growth * time)
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        dx, dy = x - center[0] - shift[0], y - center[1] - shift[1]
        u = cos * dx + sin * dy + center[0]
        v = -sin * dx + cos * dy + center[1]
        u, v = u.astype(np.float32), v.astype(np.float32)
        u, v = (
            (m + time * cv2.remap(self.field[..., k], u, v, cv2.INTER_LINEAR, borderMode=2))
            for k, m in enumerate((u, v))
        )
        texture = self.textures[min(time, len(self.textures) - 1)]
        border = cv2.BORDER_REFLECT if self.is_background else cv2.BORDER_REPLICATE
        image = cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=border)
        warped = [cv2.remap(m, u, v, cv2.INTER_LINEAR) for m in regions]
        if self.shape is None:
            return image, np.ones(SIZE, np.float32), warped
        return image, cv2.remap(self.shape, u, v, cv2.INTER_LINEAR), warped


def _photometric(frame: np.ndarray, rng: Generator) -> np.ndarray:
    """Change light, sharpness and noise a little: (H, W, 3) float -> uint8."""
    frame = frame * rng.uniform(0.93, 1.07) + rng.uniform(-6, 6)
    if rng.random() < 0.3:
        frame = cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.5:
        frame = frame + rng.normal(0, rng.uniform(0, 5), frame.shape)
    return np.clip(frame, 0, 255).astype(np.uint8)
