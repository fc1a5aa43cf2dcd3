"""Reading videos frame by frame: from a video file or from images."""

import glob
import logging
import math
import queue
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np

from ..errors import VideoError
from ..ops.rle import MAX_PIXELS
from .excerpt import Excerpt
from .images import read_image

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
Item = TypeVar("Item")


class VideoFile:
    """The frames of a video file, (H, W, 3) uint8 RGB, one at a time, as often as iterated.

    Attributes:
        fps: frames per second, as the file says, of which the excerpt takes its share.
        frame_size: (H, W) of the upright frames.
        num_frames: how many frames there should be, going by the file's head; None if it does
            not say.
    """

    def __init__(self, path: str | Path, excerpt: Excerpt | None = None):
        """
        Args:
            path: any format that FFmpeg reads.
            excerpt: what is read of it, by default all. What lies before is not decoded where the
                format has an index.

        Raises:
            VideoError: if it is not a video, or none of its frames can be read.
        """
        self.path = str(path)
        self._excerpt = excerpt or Excerpt()
        with self._open() as container:
            stream = container.streams.video[0]
            self._rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            # Some formats count no frames, but know how long they play, be it to the sound's end.
            self._is_counted = stream.frames > 0
            seconds = Fraction(container.duration or 0, av.time_base)
            if stream.frames and stream.duration and stream.time_base:
                # Unlike the count of stored frames, it leaves out those that were trimmed away.
                seconds = stream.duration * stream.time_base
            total = round(seconds * self._rate) or stream.frames
        self.fps = self._rate / self._excerpt.stride
        wanted = self._excerpt.frames(self._rate)
        self.num_frames = len(range(total)[wanted]) if total else None
        height, width, _ = next(iter(self)).shape
        self.frame_size = height, width

    def __iter__(self) -> Iterator[np.ndarray]:
        read = 0
        problems: list[str] = []
        for frame in islice(self._frames(problems), 0, None, self._excerpt.stride):
            try:
                image = _to_rgb(frame)
            # Not every format of pixels that a file may name has a way to RGB.
            except av.FFmpegError as error:
                problems.append(error.strerror or str(error))
                continue
            yield image
            read += 1
        # The number is an estimate where frames last differently long.
        expected = self.num_frames if self._is_counted else None
        if not problems and expected and read < 0.98 * expected - 1:
            problems.append(f"{expected} were expected")
        if read == 0:
            start = self._excerpt.start
            reason = problems or [f"it has none from {start:g} s on" if start else "it has none"]
            raise VideoError(f"no frame of {self.path} can be read ({reason[-1]})")
        if problems:
            logging.getLogger(__name__).warning(
                "%s is cut off or damaged: going on with the %d frames that could be read (%s)",
                self.path,
                read,
                problems[-1],
            )

    def _frames(self, problems: list[str]) -> Iterator[av.VideoFrame]:
        """The frames in the excerpt's time; what goes wrong is added to ``problems``."""
        # A frame counts from half of its time before it is shown: times are rounded.
        half = 0.5 / float(self._rate)
        start, end = self._excerpt.start - half, self._excerpt.end - half
        frames = self._frames_from(self._excerpt.start, problems)
        if self._excerpt.start:
            first = next(frames, None)
            if first is not None and first[0] <= self._excerpt.start + half:
                frames = chain([first], frames)
            else:
                # It cannot seek, or went too far.
                problems.clear()
                frames = self._frames_from(0, problems)
        for seconds, frame in frames:
            if seconds >= end:
                return
            if seconds >= start:
                yield frame

    def _frames_from(
        self, start: float, problems: list[str]
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        """Frames and their times in seconds, from the last one before ``start`` that can be decoded
        on its own; none if that cannot be found."""
        with self._open() as container:
            stream = container.streams.video[0]
            base, origin = stream.time_base or Fraction(1), stream.start_time or 0
            if start:
                try:
                    container.seek(origin + math.floor(start / base), stream=stream)
                except av.FFmpegError:
                    return
            for count, frame in enumerate(_decode(container, problems)):
                if frame.pts is not None:
                    yield float((frame.pts - origin) * base), frame
                elif start:
                    return
                else:
                    yield count / float(self._rate), frame

    @contextmanager
    def _open(self) -> Iterator[av.container.InputContainer]:
        try:
            # Tags of old files are not all in Unicode.
            container = av.open(self.path, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or error
            raise VideoError(f"{self.path} cannot be opened as a video: {reason}") from error
        with container:
            if not container.streams.video:
                raise VideoError(f"{self.path} has no video stream")
            context = container.streams.video[0].codec_context
            if context is None:
                raise VideoError(f"{self.path} is in a format that FFmpeg cannot decode here")
            if context.width * context.height > MAX_PIXELS:
                raise VideoError(
                    f"{self.path} has frames of {context.width} x {context.height} pixels: "
                    f"{MAX_PIXELS} are the most"
                )
            # Also of frames that are larger than the file's head says.
            context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container


def _decode(container: av.container.InputContainer, problems: list[str]) -> Iterator[av.VideoFrame]:
    """What follows in a container; what cannot be decoded is left out, as players do."""
    packets = container.demux(video=0)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            return
        except av.FFmpegError as error:
            problems.append(error.strerror or str(error))
            continue
        if packet.is_corrupt:
            problems.append("a frame is cut off")
        yield from frames


def _to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Decode the colours, and turn the frame upright: phones store their videos lying down."""
    # It means nothing for RGB, but without it PyAV before 17 takes HD's colour matrix for SD's.
    image = frame.to_ndarray(format="rgb24", dst_colorspace="ITU601")
    # Given in degrees counter-clockwise.
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


class FrameFiles:
    """Images as a video, (H, W, 3) uint8 RGB each, one at a time, as often as iterated.

    Attributes:
        paths: the images that the excerpt takes.
        names: their names without suffix; numbers where two of those are the same.
        fps: frames per second to play those at.
        num_frames: their number.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        fps: Fraction | float = 10,
        excerpt: Excerpt | None = None,
    ):
        """
        Args:
            paths: the images, in order: grey, colour or with alpha, 8 or 16 bits.
            fps: frames per second to play all of them at.
            excerpt: what is read of them, by default all.

        Raises:
            VideoError: if the excerpt starts after the last of them.
        """
        all_paths = [str(path) for path in paths]
        excerpt = excerpt or Excerpt()
        self.paths = all_paths[excerpt.frames(fps)]
        if all_paths and not self.paths:
            raise VideoError(
                f"there is no frame from {excerpt.start:g} s on: {len(all_paths)} images last for "
                f"{len(all_paths) / float(fps):g} s at {float(fps):g} frames/s"
            )
        self.fps = Fraction(fps).limit_denominator(1001) / excerpt.stride
        self.num_frames = len(self.paths)
        self.names = [Path(path).stem for path in self.paths]
        if len(set(self.names)) < len(self.names):
            self.names = [f"{i:05d}" for i in range(len(self.names))]

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
