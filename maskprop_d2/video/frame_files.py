"""Reading videos that are stored as one image file per frame."""

import glob
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import VideoError
from .excerpt import Excerpt
from .images import image_size, read_image

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class FrameFiles:
    """The frames of a video stored as images, (H, W, 3) uint8 RGB each, read one at a time.

    It can be iterated any number of times.

    Attributes:
        paths: the images in the excerpt.
        names: their file names without suffix, or numbers if two of those are equal.
        fps: frames per second of the excerpt.
        num_frames: the number of images in the excerpt.
        first_index: index, among all images, of the first one in the excerpt.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        fps: Fraction | float = 10,
        excerpt: Excerpt | None = None,
    ):
        """
        Args:
            paths: the images, in order: greyscale, colour or with alpha, 8 or 16 bits.
            fps: frame rate of the whole video.
            excerpt: the part to read, by default all.

        Raises:
            VideoError: if the excerpt starts after the last image.
        """
        all_paths = [str(path) for path in paths]
        excerpt = excerpt or Excerpt()
        self.first_index: int = excerpt.frames(fps).start
        self.paths = all_paths[excerpt.frames(fps)]
        if all_paths and not self.paths:
            raise VideoError(
                f"there is no frame after {excerpt.start:g} s: {len(all_paths)} images at "
                f"{float(fps):g} frames/s last for {len(all_paths) / float(fps):g} s"
            )
        self.fps = Fraction(fps).limit_denominator(1001) / excerpt.stride
        self.num_frames = len(self.paths)
        self.names = [Path(path).stem for path in self.paths]
        if len(set(self.names)) < len(self.names):
            self.names = [f"{i:05d}" for i in range(len(self.names))]

    @property
    def frame_size(self) -> tuple[int, int]:
        """(H, W), from the header of the first image.

        Raises:
            VideoError: if that is missing or is not an image.
        """
        return image_size(self.paths[0])

    def __iter__(self) -> Iterator[np.ndarray]:
        size = None
        for path in self.paths:
            frame = read_image(path)
            size = size or frame.shape
            if frame.shape != size:
                raise VideoError(
                    f"frame {path} has {frame.shape[1]} x {frame.shape[0]} pixels, but the first "
                    f"frame has {size[1]} x {size[0]}"
                )
            yield frame


def frame_name(source: object, index: int) -> str:
    """The name, without suffix, of files for a frame: that of its image, or its index."""
    return source.names[index] if isinstance(source, FrameFiles) else f"{index:05d}"


def find_frames(inputs: Iterable[str]) -> list[str]:
    """The images that match files, glob patterns or folders, without duplicates, sorted naturally.

    Raises:
        VideoError: if an input matches no image.
    """
    found: set[str] = set()
    for name in inputs:
        if Path(name).is_dir():
            matches = [str(path) for path in Path(name).iterdir()]
        else:
            matches = [name] if Path(name).is_file() else glob.glob(name)
        images = [path for path in matches if Path(path).suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
            raise VideoError(f"there is no image at {name} (looked for {suffixes})")
        found.update(images)
    return natural_sort(found)


def natural_sort(paths: Iterable[str]) -> list[str]:
    """Sort with numbers in numerical order: frame2 before frame10."""

    def key(path: str) -> tuple[list[tuple[int, int | str]], str]:
        # Splitting by a group puts the numbers at odd indices.
        parts = re.split(r"([0-9]+)", path)
        # Ties, as between 2 and 02, are broken by the path itself.
        return [(0, int(x)) if i % 2 else (1, x) for i, x in enumerate(parts)], path

    return sorted(paths, key=key)
