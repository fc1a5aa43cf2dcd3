"""Reading images, none larger than any video's frame."""

import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..errors import VideoError
from ..ops.rle import MAX_PIXELS

_EXIF_ORIENTATION = 0x0112
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_image(path: str) -> np.ndarray:
    """An image, grey, colour or with alpha, of 8 or 16 bits, as (H, W, 3) uint8 RGB.

    Raises:
        VideoError: if there is no such file, it is not an image, or far too large.
    """
    # Converts grey, alpha and 16 bits to what is wanted.
    return cv2.cvtColor(read_pixels(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_pixels(path: str, flags: int) -> np.ndarray:
    """What OpenCV reads from an image, as its flags of ``imread`` say.

    Raises:
        VideoError: as ``read_image`` does.
    """
    # A small file can hold an image of any size.
    height, width = image_size(path)
    if height * width > MAX_PIXELS:
        raise VideoError(f"frame {path} has {width} x {height} pixels: {MAX_PIXELS} are the most")
    _check_png(path)
    try:
        frame = cv2.imread(path, flags)
    # As of sizes that are not those of the file's head.
    except cv2.error as error:
        raise VideoError(f"frame {path} is not an image") from error
    if frame is None:
        raise VideoError(f"frame {path} is not an image")
    return frame


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of an image as it is shown, and as ``read_image`` reads it: cameras store frames lying
    down and say so beside the pixels. Reads the file's head only.

    Raises:
        VideoError: if there is no such file, or it is not an image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            lying = "exif" in image.info and image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except FileNotFoundError as error:
        raise VideoError(f"frame {path} is missing") from error
    except Image.DecompressionBombError as error:
        raise VideoError(f"frame {path} is too large: {MAX_PIXELS} pixels are the most") from error
    # On damaged files Pillow's decoders raise whatever they stumble over.
    except Exception as error:
        raise VideoError(f"frame {path} is not an image") from error
    return (width, height) if lying else (height, width)


def _check_png(path: str) -> None:
    """OpenCV makes room for a part of a PNG file before it looks whether the file has so much.

    Raises:
        VideoError: if a part says that it is longer than the file; other kinds of files pass.
    """
    length = Path(path).stat().st_size
    with open(path, "rb") as file:
        if file.read(len(_PNG_SIGNATURE)) != _PNG_SIGNATURE:
            return
        kind = b""
        while kind != b"IEND" and len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            # A checksum of four bytes follows.
            end = file.tell() + size + 4
            if end > length:
                raise VideoError(f"frame {path} is not a whole image: its end is missing")
            file.seek(end)
