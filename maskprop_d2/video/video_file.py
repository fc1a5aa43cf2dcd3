"""Reading video files frame by frame."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from ..errors import VideoError
from ..ops.rle import MAX_PIXELS
from .excerpt import Excerpt

# The metadata of old files is not always UTF-8; PyAV 19 reads it when it is asked for.
OPEN_OPTIONS: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
)


class VideoFile:
    """The frames of a video file, (H, W, 3) uint8 RGB each, decoded anew by each iteration.

    Attributes:
        path: the file.
        fps: frames per second: the frame rate of the file divided by the excerpt's stride.
        frame_size: (H, W), after rotation.
        num_frames: the number of frames according to the file's header; None if it has none.
        problem: what was wrong with the file, if it was read to the end and is truncated or
            damaged; else None.
    """

    def __init__(self, path: str | Path, excerpt: Excerpt | None = None):
        """
        Args:
            path: a file in any format that FFmpeg reads.
            excerpt: the part to read, by default all. If the format has an index, earlier frames
                are not decoded.

        Raises:
            VideoError: if it is not a video, or no frame can be read.
        """
        self.path = str(path)
        self._excerpt = excerpt or Excerpt()
        self.problem: str | None = None
        with self._open() as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            self._rate = Fraction(rate.numerator, rate.denominator)
            self._has_frame_count = stream.frames > 0
            # Some formats have no frame count, but the duration of the longest stream.
            seconds = Fraction(container.duration or 0, av.time_base)
            if stream.frames and stream.duration and stream.time_base:
                # Unlike the frame count, this excludes frames removed by an edit list.
                seconds = stream.duration * stream.time_base
            total = round(seconds * self._rate) or stream.frames
        self.fps = self._rate / self._excerpt.stride
        selected = self._excerpt.frames(self._rate)
        self.num_frames = len(range(total)[selected]) if total else None
        self.frame_size = next(iter(self)).shape[:2]

    def __iter__(self) -> Iterator[np.ndarray]:
        num_read = 0
        problems: list[str] = []
        # PyAV's default one has threads, which are missing after a fork.
        converter = VideoReformatter()
        for frame in islice(self._frames(problems), 0, None, self._excerpt.stride):
            try:
                image = _to_rgb(frame, converter)
            # FFmpeg cannot convert every pixel format to RGB.
            except av.FFmpegError as error:
                problems.append(error.strerror or str(error))
                continue
            yield image
            num_read += 1
        # Only with a frame count: an estimate from the duration is wrong at a variable frame rate.
        expected = self.num_frames if self._has_frame_count else None
        if not problems and expected and num_read < 0.98 * expected - 1:
            problems.append(f"{expected} were expected")
        if num_read == 0:
            start = self._excerpt.start
            reason = problems or [f"it has none after {start:g} s" if start else "it has none"]
            raise VideoError(f"no frame of {self.path} can be read ({reason[-1]})")
        if problems:
            self.problem = f"it is truncated or damaged ({problems[-1]})"
            logging.getLogger(__name__).warning(
                "%s is truncated or damaged: using the %d frames that could be read (%s)",
                self.path,
                num_read,
                problems[-1],
            )

    @property
    def first_index(self) -> int:
        """Index, in the whole video, of the first frame of the excerpt."""
        start = self._excerpt.start - 0.5 / float(self._rate)
        if start <= 0:
            return 0
        # Counting packets without decoding them is fast, and right at a variable frame rate too.
        with self._open() as container:
            stream = container.streams.video[0]
            base, origin = stream.time_base or Fraction(1), stream.start_time or 0
            index = 0
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    index += not packet.is_discard and (packet.pts - origin) * base < start
                # The last, empty packet has no timestamp either.
                elif packet.size:
                    # Formats without timestamps have a constant frame rate.
                    return self._excerpt.frames(self._rate).start
        return index

    def _frames(self, problems: list[str]) -> Iterator[av.VideoFrame]:
        """The decoded frames between start and end; errors are added to ``problems``."""
        # Half a frame of tolerance, since timestamps are rounded.
        half = 0.5 / float(self._rate)
        start, end = self._excerpt.start - half, self._excerpt.end - half
        frames = self._frames_from(self._excerpt.start, problems)
        if self._excerpt.start:
            first = next(frames, None)
            if first is not None and first[0] <= self._excerpt.start + half:
                frames = chain([first], frames)
            else:
                # Seeking failed or went too far: decode from the beginning.
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
        """(timestamp in seconds, frame) from the last key frame before ``start``; nothing if it
        is not possible to seek there."""
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
            container = av.open(self.path, **OPEN_OPTIONS)
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or error
            raise VideoError(f"{self.path} cannot be opened as a video: {reason}") from error
        with container:
            if not container.streams.video:
                raise VideoError(f"{self.path} has no video stream")
            context = container.streams.video[0].codec_context
            if context is None:
                raise VideoError(f"this build of FFmpeg has no decoder for {self.path}")
            if context.width * context.height > MAX_PIXELS:
                raise VideoError(
                    f"{self.path} has frames of {context.width} x {context.height} pixels; "
                    f"the limit is {MAX_PIXELS} pixels"
                )
            # For frames that are larger than the header says.
            context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container


def _decode(container: av.container.InputContainer, problems: list[str]) -> Iterator[av.VideoFrame]:
    """The remaining frames of a container. As in video players, damaged packets are skipped."""
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


def _to_rgb(frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
    """Convert to RGB and apply the rotation of the metadata, which phones use."""
    # dst_colorspace has no meaning for RGB, but without it PyAV before 17 applies the colour
    # matrix of SD video to HD video.
    image = converter.reformat(frame, format="rgb24", dst_colorspace=Colorspace.ITU601).to_ndarray()
    # In degrees, counter-clockwise.
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))
