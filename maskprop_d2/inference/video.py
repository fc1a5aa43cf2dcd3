"""Reading videos frame by frame: from a video file, from images, from a camera."""

import glob
import logging
import queue
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import cv2
import numpy as np

from ..errors import InputError

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
Item = TypeVar("Item")


class VideoError(InputError):
    """A video that cannot be read; the message says which and why."""


class VideoFile:
    """The frames of a video file, (H, W, 3) uint8 RGB, one at a time, as often as iterated.

    Attributes:
        fps: frames per second, as the file says.
        frame_size: (H, W) of the upright frames.
        num_frames: how many frames there should be, going by the file's head; None if it does
            not say.
    """

    def __init__(self, path: str | Path):
        """
        Args:
            path: any format that FFmpeg reads.

        Raises:
            VideoError: if it is not a video, or none of its frames can be read.
        """
        self.path = str(path)
        with self._open() as container:
            stream = container.streams.video[0]
            self.fps = stream.average_rate or stream.guessed_rate or Fraction(25)
            self.num_frames = stream.frames or None
            if stream.frames and stream.duration and stream.time_base:
                # Unlike the count of stored frames, it leaves out those that were trimmed away.
                self.num_frames = round(stream.duration * stream.time_base * self.fps)
        height, width, _ = next(iter(self)).shape
        self.frame_size = height, width

    def __iter__(self) -> Iterator[np.ndarray]:
        read = 0
        problem = ""
        with self._open() as container:
            packets = container.demux(video=0)
            while True:
                try:
                    packet = next(packets)
                    frames = packet.decode()
                except StopIteration:
                    break
                except av.FFmpegError as error:
                    # What cannot be decoded is left out, as players do.
                    problem = error.strerror or str(error)
                    continue
                if packet.is_corrupt:
                    problem = "a frame is cut off"
                for frame in frames:
                    yield _to_rgb(frame)
                    read += 1
        # The number is an estimate where frames last differently long.
        if not problem and self.num_frames and read < 0.98 * self.num_frames - 1:
            problem = f"{self.num_frames} were expected"
        if read == 0:
            raise VideoError(f"no frame of {self.path} can be read ({problem or 'it has none'})")
        if problem:
            logging.getLogger(__name__).warning(
                "%s is cut off or damaged: going on with the %d frames that could be read (%s)",
                self.path,
                read,
                problem,
            )

    @contextmanager
    def _open(self) -> Iterator[av.container.InputContainer]:
        try:
            container = av.open(self.path)
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or error
            raise VideoError(f"{self.path} cannot be opened as a video: {reason}") from error
        with container:
            if not container.streams.video:
                raise VideoError(f"{self.path} has no video stream")
            yield container


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Decode the colours, and turn the frame upright: phones store their videos lying down."""
    # It means nothing for RGB, but without it PyAV before 17 takes HD's colour matrix for SD's.
    image = frame.to_ndarray(format="rgb24", dst_colorspace="ITU601")
    # Given in degrees counter-clockwise.
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


class FrameFiles:
    """Images as a video, (H, W, 3) uint8 RGB each, one at a time, as often as iterated.

    Attributes:
        fps: frames per second to play them at.
        num_frames: their number.
    """

    def __init__(self, paths: Iterable[str | Path], fps: Fraction | float = 10):
        """
        Args:
            paths: the images, in order: grey, colour or with alpha, 8 or 16 bits.
            fps: frames per second to play them at.
        """
        self.paths = [str(path) for path in paths]
        self.fps = Fraction(fps).limit_denominator(1001)
        self.num_frames = len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        size = None
        for path in self.paths:
            if not Path(path).is_file():
                raise VideoError(f"frame {path} is missing")
            # Converts grey, alpha and 16 bits to what is wanted.
            frame = cv2.imread(path, cv2.IMREAD_COLOR)
            if frame is None:
                raise VideoError(f"frame {path} is not an image")
            size = size or frame.shape
            if frame.shape != size:
                raise VideoError(
                    f"frame {path} has {frame.shape[1]} x {frame.shape[0]} pixels, but the first "
                    f"frame has {size[1]} x {size[0]}"
                )
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


class Camera:
    """The frames of a camera, (H, W, 3) uint8 RGB each, until it is closed.

    Attributes:
        fps: frames per second, as the camera says.
        num_frames: None.
    """

    num_frames = None

    def __init__(self, index: int = 0):
        """
        Args:
            index: the camera's number.

        Raises:
            VideoError: if there is no such camera.
        """
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise VideoError(f"camera {index} cannot be opened")
        self.fps = Fraction(self._capture.get(cv2.CAP_PROP_FPS) or 25).limit_denominator(1001)

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            while True:
                read, frame = self._capture.read()
                if not read:
                    return
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._capture.release()


def find_frames(inputs: Iterable[str]) -> list[str]:
    """The images that files, patterns or folders name, each once, in ``natural_sort``'s order.

    Raises:
        VideoError: if one of them names no image.
    """
    found: list[str] = []
    for name in inputs:
        if Path(name).is_dir():
            matches = [str(path) for path in Path(name).iterdir()]
        else:
            matches = [name] if Path(name).is_file() else glob.glob(name)
        images = [path for path in matches if Path(path).suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise VideoError(f"there is no image at {name} (looked for {sorted(IMAGE_SUFFIXES)})")
        found += images
    return natural_sort(set(found))


def natural_sort(paths: Iterable[str]) -> list[str]:
    """Sort as a person would: frame2 before frame10."""

    def key(path: str) -> tuple[list[tuple[int, int | str]], str]:
        parts = re.split(r"([0-9]+)", path)
        # Numbers stand at the odd places. The path itself decides between 2 and 02.
        return [(0, int(x)) if i % 2 else (1, x) for i, x in enumerate(parts)], path

    return sorted(paths, key=key)


@contextmanager
def prefetch(items: Iterable[Item], count: int) -> Iterator[Iterator[Item]]:
    """Read ahead in a background thread, by at most ``count`` items.

    Errors of the reading come out where the item would have. Leaving the context ends the
    thread, whether or not all was read.
    """
    ahead: queue.Queue[tuple[Item | None, BaseException | None] | None] = queue.Queue(count)
    stopped = threading.Event()

    def put(entry: tuple[Item | None, BaseException | None] | None) -> None:
        while not stopped.is_set():
            try:
                return ahead.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put((None, error))

    def consume() -> Iterator[Item]:
        while (entry := ahead.get()) is not None:
            item, error = entry
            if error is not None:
                raise error
            yield item  # type: ignore[misc]

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        thread.join()
