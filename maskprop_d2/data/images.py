"""What can be known of an image without decoding it."""

from pathlib import Path

from PIL import Image

from ..inference.video import VideoError

_EXIF_ORIENTATION = 0x0112


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of an image as it is shown, and as ``FrameFiles`` reads it: cameras store frames lying
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
    # On damaged files Pillow's decoders raise whatever they stumble over.
    except Exception as error:
        raise VideoError(f"frame {path} is not an image") from error
    return (width, height) if lying else (height, width)
