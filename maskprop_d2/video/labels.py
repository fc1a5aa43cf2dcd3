"""Labels on plates, placed where they hide nothing."""

import cv2
import numpy as np

Box = tuple[int, int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_label(
    image: np.ndarray,
    text: str,
    box: Box,
    color: tuple[int, int, int],
    objects: np.ndarray,
    occupied: list[Box],
) -> None:
    """Write on a plate of the track's colour beside the object, or where there is room.

    Args:
        image: (H, W, 3) uint8 RGB to draw on.
        text: ASCII; other characters become question marks.
        box: x0, y0, x1, y1 of the object.
        color: RGB of the plate.
        objects: (H, W) uint8, not 0 where there is any object.
        occupied: the plates drawn so far; this one is added.
    """
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
    x, y = _find_place(plate_width, plate_height, box, objects, occupied)
    occupied.append((x, y, x + plate_width, y + plate_height))
    cv2.rectangle(image, (x, y), (x + plate_width - 1, y + plate_height - 1), color, -1)
    # Black or white, whichever has the higher contrast (WCAG) to the plate.
    luminance = np.dot([0.2126, 0.7152, 0.0722], (np.array(color) / 255) ** 2.2)
    ink = (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
    origin = (x + pad, y + pad + text_height)
    cv2.putText(image, text, origin, FONT, scale, ink, thickness, cv2.LINE_AA)


def _find_place(
    width: int, height: int, box: Box, objects: np.ndarray, occupied: list[Box]
) -> tuple[int, int]:
    """The left top corner of a plate inside of the frame: of the places around the box the one that
    covers least of plates and objects, and of those the first."""
    x0, y0, x1, y1 = box
    above, below = y0 - height, y1
    corners = [
        *((x, y) for x in (x0, x1 - width) for y in (above, below)),
        *((x, y) for y in (y0, y1 - height) for x in (x1, x0 - width)),
        *((x0, y) for y in (above - height, below + height)),
        (x0, y0),
    ]
    last_x = max(objects.shape[1] - width, 0)
    last_y = max(objects.shape[0] - height, 0)
    places = [(min(max(x, 0), last_x), min(max(y, 0), last_y)) for x, y in corners]

    def covered(place: tuple[int, int]) -> int:
        a, b = place
        c, d = a + width, b + height
        pixels = cv2.countNonZero(objects[b:d, a:c])
        plates = sum(
            max(min(c, right) - max(a, left), 0) * max(min(d, bottom) - max(b, top), 0)
            for left, top, right, bottom in occupied
        )
        # A label that cannot be read is worse than an object that is tinted anyway.
        return pixels + 4 * plates

    return min(places, key=covered)
