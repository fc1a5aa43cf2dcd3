"""Objects of medium and hidden videos: they hide behind occluders or outside the frame."""

import numpy as np
from shape_appearance import OUTLINES, draw_colors, draw_texture
from shape_paths import path_beyond_the_edge, wandering_path
from shape_scene import Shape

from maskprop_d2.ytvis.categories import MOVING_SHAPES

HIDDEN_FRAMES = {"medium": (5, 15), "hidden": (15, 24)}
"""By level, the bounds of the longest time for which an object of a video is hidden, in frames."""

VISIBLE_FRAMES = 7
"""An object reaches its hiding place at least this long after the start of the video, and leaves it
at least this long before the end."""

MIN_LENGTHS = {level: low - 2 + 2 * VISIBLE_FRAMES for level, (low, _) in HIDDEN_FRAMES.items()}
"""By level, the frames that a video needs at least."""

WELL_SEEN_FRAMES = 3
"""For how many frames an object of a hidden video shows at least half of its largest area, before
and after it is hidden."""

PULSE = 0.05
WOBBLE = 0.1
_ANGLE = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_BUSH_RADIUS = 0.94 + 0.06 * np.cos(9 * _ANGLE)
BUSH = _BUSH_RADIUS[:, None] * np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)
"""(P, 2) outline of an occluder, unlike that of any category."""

Look = tuple[int, np.ndarray, float]
"""Index in ``MOVING_SHAPES``, texture, and radius in pixels."""


def hides_as_planned(tracks: list[list[np.ndarray | None]], level: str) -> bool:
    """Whether the longest time for which an object is hidden lies within ``HIDDEN_FRAMES``. In
    hidden videos, objects must also be well seen before and after."""
    low, high = HIDDEN_FRAMES[level]
    longest = 0
    for masks in tracks:
        areas = np.array([0 if mask is None else mask.sum() for mask in masks])
        seen = np.flatnonzero(areas)
        hidden = np.diff(seen) - 1
        longest = max(longest, *hidden, 0)
        if level == "hidden":
            well_seen = areas >= areas.max() / 2
            parts = np.split(well_seen, seen[1:][hidden >= low])
            if len(parts) > 1 and min(part.sum() for part in parts) < WELL_SEEN_FRAMES:
                return False
    return low <= longest <= high


def draw_hiding_objects(
    rng: np.random.Generator,
    height: int,
    width: int,
    length: int,
    level: str,
    background_colors: np.ndarray,
) -> tuple[list[Shape], list[int], list[Shape]]:
    """Draw the objects of a video, at least one of which hides.

    Returns:
        objects from back to front, their categories, and the occluders in front of them.
    """
    looks = _draw_looks(rng, height, level == "medium", background_colors)
    objects, occluders = [], []
    for category, texture, radius in looks:
        # No point of an object is farther from its centre.
        reach = radius * (1 + PULSE) * (1 + WOBBLE)
        speed = 2 * radius * rng.uniform(0.09, 0.23)
        path = wandering_path(rng, height, width, speed)
        pause = (0.0, 0.0)
        if not objects or rng.random() < 0.25:
            low, high = HIDDEN_FRAMES[level]
            # Getting in and out of the hiding place takes some more frames.
            most = min((low + high) / 2, length - 2 * VISIBLE_FRAMES)
            duration = rng.uniform(low - 2, most)
            start = rng.uniform(VISIBLE_FRAMES, length - VISIBLE_FRAMES - duration)
            pause = (start, duration)
            if rng.random() < 0.4:
                path = path_beyond_the_edge(rng, height, width, speed, reach, start)
            else:
                turn = np.sin(path["frequency"] * start + path["phase"])
                place = path["center"] + path["amplitude"] * turn
                occluders.append(_draw_bush(rng, place, reach, background_colors))
        objects.append(
            Shape(
                outlines=OUTLINES[MOVING_SHAPES[category]],
                texture=texture,
                radius=radius,
                **path,
                spin=rng.uniform(-0.08, 0.08),
                pulse=(rng.uniform(0, PULSE), rng.uniform(0.05, 0.25), rng.uniform(0, 7)),
                wobble=(rng.uniform(0, WOBBLE), rng.uniform(0.1, 0.4), rng.uniform(0, 7)),
                squeeze=rng.uniform(0.8, 1.0),
                pause=pause,
            )
        )
    return objects, [category for category, *_ in looks], occluders


def _draw_looks(
    rng: np.random.Generator, height: int, alike: bool, background_colors: np.ndarray
) -> list[Look]:
    """The looks of a video's objects, in random order; if ``alike``, at least two are the same."""
    looks: list[Look] = []
    for i in range(rng.integers(3, 7)):
        if alike and i > 0 and (i == 1 or rng.random() < 0.4):
            looks.append(looks[rng.integers(i)])
        else:
            category = int(rng.integers(len(MOVING_SHAPES)))
            colors = draw_colors(rng, rng.uniform(60, 120), background_colors)
            radius = height * rng.uniform(0.1, 0.19)
            looks.append((category, draw_texture(rng, colors), radius))
    return [looks[i] for i in rng.permutation(len(looks))]


def _draw_bush(
    rng: np.random.Generator, center: np.ndarray, radius: float, background_colors: np.ndarray
) -> Shape:
    """An occluder that hides everything within ``radius`` of its centre, without a category."""
    return Shape(
        outlines=[BUSH],
        texture=draw_texture(rng, draw_colors(rng, rng.uniform(60, 120), background_colors)),
        radius=radius / _BUSH_RADIUS.min(),
        center=center,
        amplitude=np.zeros(2),
        frequency=np.zeros(2),
        phase=rng.uniform(0, 2 * np.pi, 2),
    )
