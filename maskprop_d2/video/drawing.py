"""Drawing tracks over frames."""

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np

from ..ops.rle import decode_box, encode
from ..structures import RLE
from .labels import Box, draw_label
from .trails import Point, Trails


def track_color(track_id: int) -> tuple[int, int, int]:
    """An RGB colour that depends on the id alone; neighbouring ids look most different."""
    # The golden ratio spreads hues evenly however many there are; three lightnesses on top.
    hue = (0.92 + track_id * 0.618034) % 1.0
    lightness = (0.56, 0.6, 0.73)[track_id % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_tracks(
    frame: np.ndarray,
    masks: Sequence[RLE | np.ndarray],
    track_ids: list[int],
    labels: list[str],
    scores: list[float],
    trails: Trails | None = None,
) -> np.ndarray:
    """Draw each object's mask, outline and label in its track's colour.

    Args:
        frame: (H, W, 3) uint8 RGB; it is not changed.
        masks: N masks of the frame's size, RLEs or (H, W) bool arrays.
        track_ids: their N ids.
        labels: their N category names.
        scores: their N scores in [0, 1].
        trails: those of the frames before, to go on with and to draw too.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    named = zip(labels, track_ids, scores, strict=True)
    texts = [f"{label} {track_id} {score:.0%}" for label, track_id, score in named]
    return draw_masks(frame, masks, track_ids, texts, trails)


def draw_masks(
    frame: np.ndarray,
    masks: Sequence[RLE | np.ndarray],
    track_ids: Sequence[int],
    texts: Sequence[str],
    trails: Trails | None = None,
) -> np.ndarray:
    """As ``draw_tracks``, with a text of one's own for each object."""
    drawn = frame.copy()
    objects = np.zeros(frame.shape[:2], np.uint8)
    boxes: dict[int, Box] = {}
    centers = {}
    for i, (mask, track_id) in enumerate(zip(masks, track_ids, strict=True)):
        color = track_color(track_id)
        box, inside = draw_mask(drawn, mask, color)
        if inside.size:
            boxes[i] = box
            objects[box[1] : box[3], box[0] : box[2]] |= inside
            if trails is not None:
                centers[track_id] = _center(box, inside), color
    if trails is not None:
        trails.add_frame(centers)
        trails.draw(drawn)
    # Labels last, so that nothing lies over one.
    occupied: list[Box] = []
    for i, box in boxes.items():
        draw_label(drawn, texts[i], box, track_color(track_ids[i]), objects, occupied)
    return drawn


def draw_mask(
    image: np.ndarray, mask: RLE | np.ndarray, color: tuple[int, int, int]
) -> tuple[Box, np.ndarray]:
    """Tint and outline one object, in place.

    Args:
        image: (H, W, 3) uint8 RGB to draw on.
        mask: of its size, an RLE or (H, W) bool.
        color: RGB.

    Returns:
        the box x0, y0, x1, y1 around the object, and the (h, w) uint8 mask that fills it, which is
        empty where there is no object.
    """
    x0, y0, inside = decode_box(mask if isinstance(mask, dict) else encode(mask))
    inside = np.ascontiguousarray(inside, np.uint8)
    box = (x0, y0, x0 + inside.shape[1], y0 + inside.shape[0])
    if inside.size:
        _tint(image, box, inside, color)
    return box, inside


def _tint(image: np.ndarray, box: Box, inside: np.ndarray, color: tuple[int, int, int]) -> None:
    """Tint a mask, (h, w) uint8 that fills its box, and outline it."""
    x0, y0, x1, y1 = box
    region = image[y0:y1, x0:x1]
    tint = *(0.45 * value for value in color), 0
    # OpenCV's types do not know that it adds colours, too.
    tinted = cv2.add(cv2.convertScaleAbs(region, alpha=0.55), tint)  # type: ignore[call-overload]
    cv2.copyTo(tinted, inside, region)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0))
    # Fewer points look smoother, and take far less time.
    contours = [cv2.approxPolyDP(contour, 0.8, True) for contour in contours]
    thickness = max(1, round(min(image.shape[:2]) / 300))
    cv2.drawContours(image, contours, -1, color, thickness, cv2.LINE_AA)


def _center(box: Box, inside: np.ndarray) -> Point:
    """The centre of gravity x, y of a mask, (h, w) uint8 that fills its box."""
    moments = cv2.moments(inside, binaryImage=True)
    return box[0] + moments["m10"] / moments["m00"], box[1] + moments["m01"] / moments["m00"]


def contact_sheet(images: list[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Images of one size in rows, with a white gap between them.

    Args:
        images: (H, W, 3) uint8 arrays, at least one.
        columns: how many stand in a row.
        gap: pixels between them.

    Returns:
        (H', W', 3) uint8.
    """
    height, width = images[0].shape[:2]
    rows = math.ceil(len(images) / columns)
    columns = min(columns, len(images))
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.full(size, 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet
