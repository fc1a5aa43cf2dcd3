"""Drawing tracks on frames: masks, outlines, labels and trails."""

import colorsys
import math
from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from ..ops.rle import decode_box, encode
from ..structures import RLE

Box = tuple[int, int, int, int]
Color = tuple[int, int, int]
Point = tuple[float, float]

FONT = cv2.FONT_HERSHEY_SIMPLEX
# Fractional bits of OpenCV's coordinates: with whole pixels, trails of slow objects jitter.
SHIFT = 4


def track_color(track_id: int) -> Color:
    """An RGB colour that depends on the id alone; consecutive ids have very different colours."""
    # Steps of the golden ratio spread any number of hues evenly.
    hue = (0.92 + track_id * 0.618034) % 1.0
    lightness = (0.56, 0.6, 0.73)[track_id % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


class Trails:
    """The paths of the objects' centres over the last frames; older parts are thinner."""

    def __init__(self, length: int):
        """``length``: the number of frames that a trail goes back."""
        self._frames: deque[dict[int, Point]] = deque(maxlen=length + 1)

    def add_frame(self, centers: dict[int, Point]) -> None:
        """Add the next frame: the centre (x, y) in pixels for each track id."""
        self._frames.append(centers)

    def draw(self, image: np.ndarray) -> None:
        """Draw the trails on a frame, (H, W, 3) uint8 RGB, in place."""
        max_thickness = max(2.0, min(image.shape[:2]) / 150)
        last: dict[int, tuple[int, int]] = {}
        for i, centers in enumerate(self._frames, start=1):
            thickness = max(1, round(max_thickness * i / len(self._frames)))
            for track_id, (x, y) in centers.items():
                point = round(x * 2**SHIFT), round(y * 2**SHIFT)
                if track_id in last:
                    ends, color = (last[track_id], point), track_color(track_id)
                    cv2.line(image, *ends, color, thickness, cv2.LINE_AA, SHIFT)
                last[track_id] = point


def draw_tracks(
    frame: np.ndarray,
    masks: Sequence[RLE | np.ndarray],
    track_ids: Sequence[int],
    labels: Sequence[str],
    scores: Sequence[float],
    trails: Trails | None = None,
) -> np.ndarray:
    """Draw the mask, outline and label of each object in the colour of its track.

    Args:
        frame: (H, W, 3) uint8 RGB; it is not changed.
        masks: N masks of the frame's size, RLEs or (H, W) bool arrays.
        track_ids: N track ids.
        labels: N category names.
        scores: N scores in [0, 1].
        trails: the trails of the previous frames; this frame is added, and they are drawn.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rows = zip(labels, track_ids, scores, strict=True)
    texts = [f"{label} {track_id} {score:.0%}" for label, track_id, score in rows]
    return draw_masks(frame, masks, track_ids, texts, trails)


def draw_masks(
    frame: np.ndarray,
    masks: Sequence[RLE | np.ndarray],
    track_ids: Sequence[int],
    texts: Sequence[str],
    trails: Trails | None = None,
) -> np.ndarray:
    """Like ``draw_tracks``, with N arbitrary texts as labels."""
    drawn = frame.copy()
    covered = np.zeros(frame.shape[:2], np.uint8)
    labels: list[tuple[str, Box, np.ndarray, Color]] = []
    centers: dict[int, Point] = {}
    for mask, track_id, text in zip(masks, track_ids, texts, strict=True):
        color = track_color(track_id)
        box, crop = draw_mask(drawn, mask, color)
        if crop.size:
            x0, y0, x1, y1 = box
            covered[y0:y1, x0:x1] |= crop
            labels.append((text, box, crop, color))
            if trails is not None:
                m = cv2.moments(crop, binaryImage=True)
                centers[track_id] = x0 + m["m10"] / m["m00"], y0 + m["m01"] / m["m00"]
    if trails is not None:
        trails.add_frame(centers)
        trails.draw(drawn)
    # Labels last, so that no mask covers them.
    placed: list[Box] = []
    for label in labels:
        placed.append(_draw_label(drawn, *label, covered, placed))
    return drawn


def draw_mask(image: np.ndarray, mask: RLE | np.ndarray, color: Color) -> tuple[Box, np.ndarray]:
    """Tint and outline one object; returns its XYXY box and the (h, w) uint8 mask in it."""
    x0, y0, crop = decode_box(mask if isinstance(mask, dict) else encode(mask))
    crop = np.ascontiguousarray(crop, np.uint8)
    y1, x1 = y0 + crop.shape[0], x0 + crop.shape[1]
    if crop.size:
        region = image[y0:y1, x0:x1]
        tint = *(0.45 * value for value in color), 0
        # OpenCV's type stubs do not have the overload that adds a colour.
        tinted = cv2.add(cv2.convertScaleAbs(region, alpha=0.55), tint)  # type: ignore[call-overload]
        cv2.copyTo(tinted, crop, region)
        kind = cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
        contours, _ = cv2.findContours(crop, *kind, offset=(x0, y0))
        # Fewer points are smoother and much faster to draw.
        contours = [cv2.approxPolyDP(contour, 0.8, True) for contour in contours]
        thickness = max(1, round(min(image.shape[:2]) / 300))
        cv2.drawContours(image, contours, -1, color, thickness, cv2.LINE_AA)
    return (x0, y0, x1, y1), crop


def _draw_label(
    image: np.ndarray,
    text: str,
    box: Box,
    crop: np.ndarray,
    color: Color,
    covered: np.ndarray,
    placed: list[Box],
) -> Box:
    """Write a label on a filled rectangle next to an object; returns the rectangle.

    ``crop`` is the object's mask in its ``box``. ``covered``, (H, W) uint8, is nonzero where there
    is any object, and ``placed`` are the labels drawn so far. Characters that are not ASCII become
    question marks.
    """
    height, width = image.shape[:2]
    scale = max(0.3, min(height, width) / 800)
    pad = max(2, round(4 * scale))
    # Shrink text that is wider than the frame.
    full_width = cv2.getTextSize(text, FONT, scale, 1)[0][0] + 2 * pad
    if full_width > width:
        scale *= 0.9 * width / full_width
    thickness = max(1, round(scale * 1.6))
    (text_width, text_height), baseline = cv2.getTextSize(text, FONT, scale, thickness)
    label_width, label_height = text_width + 2 * pad, text_height + baseline + 2 * pad - 1
    x, y = _place_label(label_width, label_height, box, crop, covered, placed)
    cv2.rectangle(image, (x, y), (x + label_width - 1, y + label_height - 1), color, -1)
    # Black or white text, whichever has the higher contrast (WCAG) to the rectangle.
    luminance = np.dot([0.2126, 0.7152, 0.0722], (np.array(color) / 255) ** 2.2)
    text_color = (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
    origin = (x + pad, y + pad + text_height)
    cv2.putText(image, text, origin, FONT, scale, text_color, thickness, cv2.LINE_AA)
    return x, y, x + label_width, y + label_height


def _place_label(
    width: int,
    height: int,
    box: Box,
    crop: np.ndarray,
    covered: np.ndarray,
    placed: list[Box],
) -> tuple[int, int]:
    """The top left corner of a label: of the positions around the object, moved into the frame, the
    first that covers least of other labels and objects, and is not far from the object."""
    x0, y0, x1, y1 = box
    above, below = y0 - height, y1
    top, bottom = (x0 + int(row.argmax()) for row in (crop[0], crop[-1]))
    corners = [
        *((x, y) for x in (x0, x1 - width) for y in (above, below)),
        *((x, y) for y in (y0, y1 - height) for x in (x1, x0 - width)),
        *((top, above), (bottom, below)),
        *((x0, y) for y in (above - height, below + height)),
        (x0, y0),
    ]
    last_x = max(covered.shape[1] - width, 0)
    last_y = max(covered.shape[0] - height, 0)
    positions = [(min(max(x, 0), last_x), min(max(y, 0), last_y)) for x, y in corners]

    def cost(position: tuple[int, int]) -> int:
        a, b = position
        c, d = a + width, b + height
        object_pixels = cv2.countNonZero(covered[b:d, a:c])
        label_pixels = sum(
            max(min(c, right) - max(a, left), 0) * max(min(d, bottom) - max(b, top), 0)
            for left, top, right, bottom in placed
        )
        rows = slice(max(b - height - y0, 0), max(d + height - y0, 0))
        columns = slice(max(a - height - x0, 0), max(c + height - x0, 0))
        gap_pixels = 0 if crop[rows, columns].any() else width * height
        # Covering a label is worse: it cannot be read, while an object is tinted anyway.
        return object_pixels + 4 * label_pixels + gap_pixels

    return min(positions, key=cost)


def contact_sheet(images: list[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Arrange images of one size in rows, with a white gap between them.

    Args:
        images: (H, W, 3) uint8 arrays, at least one.
        columns: images per row.
        gap: pixels between images.

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
