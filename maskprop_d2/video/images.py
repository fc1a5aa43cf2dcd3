"""Reading images, with protection against damaged and huge files."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from ..errors import VideoError
from ..ops.rle import MAX_PIXELS

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_image(path: str) -> np.ndarray:
    """Read an image, greyscale, colour or with alpha, 8 or 16 bits, as (H, W, 3) uint8 RGB.

    Raises:
        VideoError: if the file is missing, is not an image, or has too many pixels.
    """
    # IMREAD_COLOR converts greyscale, alpha and 16 bits.
    return cv2.cvtColor(read_pixels(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_pixels(path: str, flags: int) -> np.ndarray:
    """``cv2.imread(path, flags)`` with the checks and exceptions of ``read_image``."""
    # A small file can hold an image of any size.
    _check_pixels(f"frame {path}", *image_size(path))
    _check_png(path)
    try:
        frame = cv2.imread(path, flags)
    # For example if the size differs from the one in the header.
    except cv2.error:
        frame = None
    if frame is None:
        raise VideoError(f"frame {path} is not an image")
    return frame


def load_image(path: str | Path) -> Image.Image:
    """Read an image as Pillow does, which keeps palettes.

    Raises:
        VideoError: if the file is not an image or has too many pixels.
    """
    try:
        _check_png(path)
        with Image.open(path) as image:
            _check_pixels(str(path), image.height, image.width)
            image.load()
            return image
    except VideoError:
        raise
    except FileNotFoundError as error:
        raise VideoError(f"{path} is missing") from error
    # Pillow's decoders raise all kinds of exceptions for damaged files.
    except Exception as error:
        raise VideoError(f"{path} is not an image") from error


def _check_pixels(name: str, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise VideoError(f"{name} has {width} x {height} pixels; the limit is {MAX_PIXELS} pixels")


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of an image as ``read_image`` returns it, with the EXIF rotation applied. Only the
    header is read.

    Raises:
        VideoError: if the file is missing or is not an image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            rotated = "exif" in image.info and orientation >= 5
    except FileNotFoundError as error:
        raise VideoError(f"frame {path} is missing") from error
    except Image.DecompressionBombError as error:
        raise VideoError(f"frame {path} is too large; the limit is {MAX_PIXELS} pixels") from error
    # Pillow's decoders raise all kinds of exceptions for damaged files.
    except Exception as error:
        raise VideoError(f"frame {path} is not an image") from error
    return (width, height) if rotated else (height, width)


def _check_png(path: str | Path) -> None:
    """Reject PNGs with a chunk longer than the file, for which OpenCV and Pillow would allocate
    memory."""
    length = Path(path).stat().st_size
    with open(path, "rb") as file:
        if file.read(len(_PNG_SIGNATURE)) != _PNG_SIGNATURE:
            return
        kind = b""
        while kind != b"IEND" and len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            # Four bytes of checksum follow.
            if file.seek(size + 4, os.SEEK_CUR) > length:
                raise VideoError(f"{path} is truncated")
