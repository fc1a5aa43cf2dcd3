"""Paths of MovingShapes: the fields of a ``Shape`` that say how it moves."""

import numpy as np


def wandering_path(
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


def fast_path(
    rng: np.random.Generator, height: int, width: int, radius: float
) -> dict[str, np.ndarray]:
    """A path of 0.3 to 0.5 diameters per frame; some leave the frame and come back."""
    wider = height * 0.35 if rng.random() < 0.3 else 0
    return wandering_path(rng, height, width, 2 * radius * rng.uniform(0.3, 0.5), wider)


def path_out_and_back(
    rng: np.random.Generator, height: int, width: int, length: int, radius: float
) -> dict[str, np.ndarray]:
    """A path that leaves the frame around the middle of the video, and comes back."""
    path = wandering_path(rng, height, width, height * rng.uniform(0.01, 0.03))
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


def path_beyond_the_edge(
    rng: np.random.Generator, height: int, width: int, speed: float, margin: float, time: float
) -> dict[str, np.ndarray]:
    """A path that is farthest out at ``time``, ``margin`` pixels outside the frame."""
    size = np.array([width, height])
    path = wandering_path(rng, height, width, speed)
    axis, side = rng.integers(2), rng.choice([-1, 1])
    amplitude = (margin + size[axis] * rng.uniform(0.4, 0.8)) / 2
    # As fast as before.
    path["frequency"] *= np.hypot(*path["amplitude"])
    path["amplitude"][axis] = amplitude
    path["frequency"] /= np.hypot(*path["amplitude"])
    path["center"][axis] = (size[axis] if side > 0 else 0) + side * (margin - amplitude)
    path["phase"][axis] = side * np.pi / 2 - path["frequency"][axis] * time
    return path
