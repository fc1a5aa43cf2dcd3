"""Masks as polygons along the borders of their pixels."""

import cv2
import numpy as np

Ring = list[tuple[int, int]]
"""Corners (x, y) of a closed line; the first is not repeated at the end."""


def part_polygons(mask: np.ndarray, tolerance: float = 0) -> list[list[float]]:
    """A polygon for each connected part of a mask, the largest part first.

    A pixel (x, y) covers the square from (x, y) to (x + 1, y + 1), as in COCO. Without tolerance,
    ``ops.rle.to_rle`` gives exactly the mask back. A hole becomes part of its polygon's line, which
    runs to the hole and back along the same way.

    Args:
        mask: (H, W) bool.
        tolerance: leave out corners where the line moves by at most this many pixels.

    Returns:
        COCO polygons: lists of x, y, x, y, ...
    """
    # Pixels that touch at a corner belong together, as in _trace.
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    rings: dict[int, list[Ring]] = {}
    for ring in _trace(mask):
        x, y = ring[0]
        # The first corner is the top left one: below it is the part itself, or a hole in it.
        part = int(parts[y, x] if mask[y, x] else parts[y - 1, x])
        rings.setdefault(part, []).append(ring)
    areas = np.bincount(parts.ravel())
    polygons = []
    for part in sorted(rings, key=lambda x: -areas[x]):
        # The outline has the topmost corner, and its ring was therefore found first.
        outline, *holes = (_simplify(ring, tolerance) for ring in rings[part])
        # Around holes in the other direction, as some tools expect.
        polygons.append(_flatten(_join([outline, *(hole[:1] + hole[:0:-1] for hole in holes)])))
    return polygons


def single_polygon(mask: np.ndarray, tolerance: float = 0) -> list[float]:
    """One polygon for all parts of a mask that is not empty, joined by lines that run to a part and
    back along the same way. Arguments as for ``part_polygons``."""
    parts = [np.reshape(x, (-1, 2)).tolist() for x in part_polygons(mask, tolerance)]
    return _flatten(_join([[(x, y) for x, y in part] for part in parts]))


def _trace(mask: np.ndarray) -> list[Ring]:
    """The borders between a mask and its background, in the order of their top left corners.

    All lines are horizontal or vertical. In each row of corners, the first and second corner are
    the ends of a line, then the third and fourth, and so on; in columns likewise. Following
    horizontal and vertical lines in turn gives the rings.
    """
    padded = np.pad(mask, 1)
    above, below = padded[:-1], padded[1:]
    count = above[:, :-1].astype(np.uint8) + above[:, 1:] + below[:, :-1] + below[:, 1:]
    diagonal = (count == 2) & (above[:, :-1] == below[:, 1:])
    # Where two pixels touch only at a corner, two rings or two parts of a ring pass through it.
    ys, xs = np.nonzero((count % 2 == 1) | diagonal)
    twice = diagonal[ys, xs].astype(int) + 1
    # Of such a pair, the first is the right end of a line. It is the lower end of one, so that the
    # pixels are joined, if they are the upper left and the lower right one.
    joins_down = above[:, :-1][ys, xs].repeat(twice) & (twice.repeat(twice) == 2)
    ys, xs = ys.repeat(twice), xs.repeat(twice)
    rows = np.arange(len(xs))
    first = np.append(True, (xs[1:] != xs[:-1]) | (ys[1:] != ys[:-1]))[: len(xs)]
    columns = np.lexsort((np.where(joins_down, first, ~first), ys, xs))
    horizontal, vertical = np.empty_like(rows), np.empty_like(rows)
    for order, partner in ((rows, horizontal), (columns, vertical)):
        partner[order[::2]], partner[order[1::2]] = order[1::2], order[::2]
    points = list(zip(xs.tolist(), ys.tolist(), strict=True))
    right, down = horizontal.tolist(), vertical.tolist()
    rings = []
    seen = [False] * len(points)
    for start in range(len(points)):
        if seen[start]:
            continue
        ring, corner = [], start
        while not seen[corner]:
            after = right[corner]
            seen[corner] = seen[after] = True
            ring += [points[corner], points[after]]
            corner = down[after]
        rings.append(ring)
    return rings


def _simplify(ring: Ring, tolerance: float) -> Ring:
    """The ring with fewer corners, by the algorithm of Douglas and Peucker."""
    if not tolerance:
        return ring
    points = cv2.approxPolyDP(np.array(ring, np.int32)[:, None], tolerance, True)
    return [(x, y) for x, y in points[:, 0].tolist()] if len(points) >= 3 else ring


def _join(rings: list[Ring]) -> Ring:
    """One line through all rings. The way to each ring and back cancels out."""
    joined, *others = rings
    for ring in others:
        distances = np.square(np.array(joined)[:, None] - np.array(ring)).sum(-1)
        i, j = np.unravel_index(distances.argmin(), distances.shape)
        joined = [*joined[: i + 1], *ring[j:], *ring[: j + 1], *joined[i:]]
    return joined


def _flatten(ring: Ring) -> list[float]:
    return [float(value) for point in ring for value in point]
