"""Drawing MovingShapes: synthetic videos of textured, deforming shapes over moving backgrounds."""

import numpy as np
from shape_appearance import OUTLINES, draw_background, draw_colors, draw_texture
from shape_hiding import HIDDEN_FRAMES, draw_hiding_objects, hides_as_planned
from shape_paths import fast_path, path_out_and_back, wandering_path
from shape_scene import Scene, Shape

from maskprop_d2.ytvis.categories import MOVING_SHAPES

VERSIONS = {"plain": 2, "hard": 2, "medium": 3, "hidden": 3}
"""The levels, and the version since which each is drawn as it is. The version is
stored in the annotation files, and rises with every change of what is drawn."""


def draw_video(
    rng: np.random.Generator, height: int, width: int, length: int, level: str
) -> tuple[list[np.ndarray], list[tuple[int, list[np.ndarray | None]]]]:
    """Draw one video.

    Args:
        rng: the only source of randomness.
        height, width, length: of the video, in pixels and frames; a length of ``MIN_LENGTHS`` at
            least.
        level: "plain"; "hard": faster, more crowded and with more occlusion, so that the masks of
            an object in neighbouring frames barely overlap; "medium": between both in speed, with
            look-alikes, and objects that are wholly hidden for a while; or "hidden": the same
            without look-alikes, and hidden for longer. How long: ``HIDDEN_FRAMES``.

    Returns:
        the frames, (height, width, 3) uint8 RGB; and for each object its index in
        ``MOVING_SHAPES`` and its visible mask in each frame, (height, width) bool or None.
    """
    # Other objects, bars and edges may hide an object for longer than planned: draw again.
    while True:
        scene, categories = _draw_scene(rng, height, width, length, level)
        masks = [scene.visible_masks(t, len(categories)) for t in range(length)]
        tracks = [(category, [m[i] for m in masks]) for i, category in enumerate(categories)]
        if level not in HIDDEN_FRAMES or hides_as_planned([x for _, x in tracks], level):
            break
    # Motion blur: the masks show the central one of an odd number of exposures.
    shutter, number = {"plain": (0.2, 3), "hard": (0.075, 5)}.get(level, (0.1, 3))
    exposures = np.linspace(-shutter, shutter, number)
    frames = []
    for t in range(length):
        frame = sum(scene.render(t + exposure) for exposure in exposures) / number
        frame += rng.normal(0, 3, (height, width, 1))
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames, tracks


def _draw_scene(
    rng: np.random.Generator, height: int, width: int, length: int, level: str
) -> tuple[Scene, list[int]]:
    """What a video shows, objects first, and the categories of the objects."""
    colors = draw_colors(rng, contrast=50)
    background = draw_background(rng, 2 * max(height, width), colors)
    occluders: list[Shape] = []
    if level in HIDDEN_FRAMES:
        objects, categories, occluders = draw_hiding_objects(
            rng, height, width, length, level, colors
        )
    else:
        objects, categories = _draw_objects(rng, height, width, length, level == "hard", colors)
    number_of_bars = rng.integers(0, 4 if level == "hard" else 3)
    clutter = [_draw_clutter(rng, height, width, colors) for _ in range(number_of_bars)]
    scene = Scene(
        size=(height, width),
        background=background,
        pan=rng.uniform(-2, 2, 2) * height / 128,
        shake=(rng.uniform(0, 1), rng.uniform(0, 2 * np.pi, 2)),
        shapes=objects + occluders + clutter,
    )
    return scene, categories


def _draw_objects(
    rng: np.random.Generator,
    height: int,
    width: int,
    length: int,
    hard: bool,
    background_colors: np.ndarray,
) -> tuple[list[Shape], list[int]]:
    """Objects of plain and hard videos from back to front, and their categories."""
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
            path = fast_path(rng, height, width, radius)
        elif objects and rng.random() < 0.3:
            # Never the first object: a video always shows something.
            path = path_out_and_back(rng, height, width, length, radius)
        else:
            path = wandering_path(rng, height, width, height * rng.uniform(0.01, 0.055))
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
    )
