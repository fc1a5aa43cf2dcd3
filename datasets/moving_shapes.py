"""Drawing MovingShapes: synthetic videos of textured, deforming shapes over moving backgrounds."""

import numpy as np
from shape_appearance import OUTLINES, draw_background, draw_colors, draw_texture
from shape_scene import Scene, Shape

from maskprop_d2.ytvis.categories import MOVING_SHAPES

VERSION = 2
"""Must be raised with every change of what is drawn; it is stored in the annotation files."""


def draw_video(
    rng: np.random.Generator, height: int, width: int, length: int, hard: bool
) -> tuple[list[np.ndarray], list[tuple[int, list[np.ndarray | None]]]]:
    """Draw one video.

    Args:
        rng: the only source of randomness.
        height, width, length: of the video, in pixels and frames.
        hard: faster, more crowded and with more occlusion, so that the masks of an object in
            neighbouring frames barely overlap.

    Returns:
        the frames, (height, width, 3) uint8 RGB; and for each object its index in
        ``MOVING_SHAPES`` and its visible mask in each frame, (height, width) bool or None.
    """
    colors = draw_colors(rng, contrast=50)
    background = draw_background(rng, 2 * max(height, width), colors)
    objects, categories = _draw_objects(rng, height, width, length, hard, colors)
    number_of_bars = rng.integers(0, 4 if hard else 3)
    clutter = [_draw_clutter(rng, height, width, colors) for _ in range(number_of_bars)]
    scene = Scene(
        size=(height, width),
        background=background,
        pan=rng.uniform(-2, 2, 2) * height / 128,
        shake=(rng.uniform(0, 1), rng.uniform(0, 2 * np.pi, 2)),
        shapes=objects + clutter,
    )
    # Motion blur: the masks show the central one of an odd number of exposures.
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
) -> tuple[list[Shape], list[int]]:
    """Objects from back to front, and their categories."""
    number = rng.integers(3, 7) if hard else rng.integers(1, 5)
    categories = rng.integers(0, len(MOVING_SHAPES), number)
    # Make several objects of one category more likely.
    for i in range(1, number):
        if rng.random() < 0.35:
            categories[i] = categories[rng.integers(0, i)]
    objects = []
    for category in categories:
        radius = height * rng.uniform(0.11, 0.24 if hard else 0.28)
        if hard:
            path = _fast_path(rng, height, width, radius)
        elif objects and rng.random() < 0.3:
            # Never the first object: a video always shows something.
            path = _path_out_and_back(rng, height, width, length, radius)
        else:
            path = _wandering_path(rng, height, width, height * rng.uniform(0.01, 0.055))
        colors = draw_colors(rng, rng.uniform(60, 120), background_colors)
        objects.append(
            Shape(
                outlines=OUTLINES[MOVING_SHAPES[category]],
                texture=draw_texture(rng, colors),
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
    """A path around the middle of the frame, ``wider`` by some pixels along one axis."""
    amplitude = np.array([width, height]) * rng.uniform(0.15, 0.42, 2)
    amplitude[rng.integers(2)] += wider
    phase = rng.uniform(0, 2 * np.pi, 2)
    # About a quarter turn apart, so that an object never stops in both directions at once.
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
    """A path of 0.3 to 0.5 diameters per frame; some leave the frame and come back."""
    wider = height * 0.35 if rng.random() < 0.3 else 0
    return _wandering_path(rng, height, width, 2 * radius * rng.uniform(0.3, 0.5), wider)


def _path_out_and_back(
    rng: np.random.Generator, height: int, width: int, length: int, radius: float
) -> dict[str, np.ndarray]:
    """A path that leaves the frame around the middle of the video, and comes back."""
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
) -> Shape:
    """A thin bar in front of everything, without a category."""
    outline = np.array([[-1, -0.07], [1, -0.07], [1, 0.07], [-1, 0.07]])
    return Shape(
        outlines=[outline],
        texture=draw_texture(rng, draw_colors(rng, rng.uniform(60, 120), background_colors)),
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
