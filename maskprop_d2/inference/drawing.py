"""Drawing tracks over frames."""

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np

from ..ops.rle import decode
from ..structures import RLE

Box = tuple[int, int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX


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
) -> np.ndarray:
    """Draw each object's mask, outline and label in its track's colour.

    Args:
        frame: (H, W, 3) uint8 RGB; it is not changed.
        masks: N masks of the frame's size, RLEs or (H, W) bool arrays.
        track_ids: their N ids.
        labels: their N category names.
        scores: their N scores in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.
    """
    drawn = frame.copy()
    boxes = []
    for given, track_id in zip(masks, track_ids, strict=True):
        mask = decode(given) if isinstance(given, dict) else given
        boxes.append(_draw_mask(drawn, mask, track_color(track_id)))
    # Labels last, so that no mask lies over one.
    occupied: list[Box] = []
    for box, track_id, label, score in zip(boxes, track_ids, labels, scores, strict=True):
        if box is not None:
            text = f"{label} {track_id} {score:.0%}"
            _draw_label(drawn, text, box, track_color(track_id), occupied)
    return drawn


def _draw_mask(image: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> Box | None:
    """Tint a mask and outline it; gives its box x0, y0, x1, y1, None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    region, inside = image[y0:y1, x0:x1], mask[y0:y1, x0:x1].astype(np.uint8, order="C")
    tinted = cv2.addWeighted(region, 0.55, np.full_like(region, color), 0.45, 0)
    cv2.copyTo(tinted, inside, region)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0))
    thickness = max(1, round(min(image.shape[:2]) / 300))
    cv2.drawContours(image, contours, -1, color, thickness, cv2.LINE_AA)
    return x0, y0, x1, y1


def _draw_label(
    image: np.ndarray,
    text: str,
    box: Box,
    color: tuple[int, int, int],
    occupied: list[Box],
) -> None:
    """Write on a plate of the track's colour above the object, or where there is room."""
    height, width = image.shape[:2]
    scale = max(0.3, min(height, width) / 800)
    pad = max(2, round(4 * scale))
    # A text that is wider than the frame is made smaller.
    full_width = cv2.getTextSize(text, FONT, scale, 1)[0][0] + 2 * pad
    if full_width > width:
        scale *= 0.9 * width / full_width
    thickness = max(1, round(scale * 1.6))
    (text_width, text_height), baseline = cv2.getTextSize(text, FONT, scale, thickness)
    plate_width, plate_height = text_width + 2 * pad, text_height + baseline + 2 * pad - 1
    x0, y0, _, y1 = box
    x = max(0, min(x0, width - plate_width))
    y = _free_row(x, plate_width, plate_height, y0, y1, height, occupied)
    occupied.append((x, y, x + plate_width, y + plate_height))
    cv2.rectangle(image, (x, y), (x + plate_width - 1, y + plate_height - 1), color, -1)
    # Black or white, whichever has the higher contrast (WCAG) to the plate.
    luminance = np.dot([0.2126, 0.7152, 0.0722], (np.array(color) / 255) ** 2.2)
    ink = (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
    origin = (x + pad, y + pad + text_height)
    cv2.putText(image, text, origin, FONT, scale, ink, thickness, cv2.LINE_AA)


def _free_row(
    x: int,
    width: int,
    height: int,
    top: int,
    bottom: int,
    frame_height: int,
    occupied: list[Box],
) -> int:
    """The row for a plate: above the object, else below it, clear of the other plates if it can
    be, and always inside of the frame."""
    last = max(frame_height - height, 0)
    candidates = [top - height, bottom, top - 2 * height, bottom + height, top, last, 0]
    rows = [row for row in candidates if 0 <= row <= last] or [0]
    for row in rows:
        clear = all(
            x + width <= a or x >= c or row + height <= b or row >= d for a, b, c, d in occupied
        )
        if clear:
            return row
    return rows[0]


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
