"""Writing videos, as a file or as a folder of images."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4"}
# Not every build of FFmpeg has all of them.
CODECS = ("libx264", "libopenh264", "mpeg4")
# FFmpeg's codes for the colours of HD video.
BT709, LIMITED_RANGE = 1, 1


def is_video_name(path: Path) -> bool:
    """Whether the name ends in one of ``VIDEO_SUFFIXES``, in upper or lower case."""
    return path.suffix.lower() in VIDEO_SUFFIXES


class VideoWriter:
    """Writes an H.264 video that plays in a browser; a context manager.

    The file appears under its name at the end. After Ctrl-C it has the frames written so far; after
    any other error nothing is left.
    """

    def __init__(self, path: str | Path, fps: Fraction | float):
        """
        Args:
            path: the file; its suffix, one of ``VIDEO_SUFFIXES``, selects the format.
            fps: frames per second.

        Raises:
            ValueError: for any other suffix.
        """
        self.path = Path(path)
        if not is_video_name(self.path):
            raise ValueError(
                f"cannot write a video to {path}: its name must end in one of "
                f"{', '.join(sorted(VIDEO_SUFFIXES))}"
            )
        self._partial = self.path.with_name(f".partial-{self.path.name}")
        self._fps = Fraction(fps).limit_denominator(1001)
        self._container: OutputContainer | None = None
        # PyAV's default one has threads, which are missing after a fork.
        self._converter = VideoReformatter()
        self._next_timestamp = 0

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: np.ndarray, timestamp: int | None = None) -> None:
        """Add a frame.

        Args:
            frame: (H, W, 3) uint8 RGB. Odd sizes are padded by repeating the last row or column.
            timestamp: in units of ``1 / fps`` seconds; by default, and at least, that of the
                previous frame + 1.

        Raises:
            ValueError: if the frame has another format, or not the size of the first one.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame must be uint8 RGB, not {frame.dtype} of {frame.shape}")
        # The pixel format that all players support needs even sizes.
        frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), "edge")
        height, width = frame.shape[:2]
        container = self._container or self._open(height, width)
        if (height, width) != (self._stream.height, self._stream.width):
            raise ValueError(
                f"the frame has {width} x {height} pixels, but the video {self.path} has "
                f"{self._stream.width} x {self._stream.height}"
            )
        video_frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
        video_frame = self._converter.reformat(
            video_frame, format="yuv420p", dst_colorspace=Colorspace.ITU709
        )
        video_frame.pts = max(timestamp or 0, self._next_timestamp)
        self._next_timestamp = video_frame.pts + 1
        container.mux(self._stream.encode(video_frame))

    def _open(self, height: int, width: int) -> OutputContainer:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        suffix = self.path.suffix.lower()
        # With the index first, a browser can start to play before it has the whole file.
        options = {"movflags": "+faststart"} if suffix in (".m4v", ".mov", ".mp4") else {}
        self._container = container = av.open(str(self._partial), "w", options=options)
        codec = next(x for x in CODECS if x in av.codecs_available)
        # Slower presets dominate the drawing time, for files that are hardly smaller.
        options = {"crf": "20", "preset": "veryfast"}
        self._stream = cast(VideoStream, container.add_stream(codec, self._fps, options))
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "yuv420p"
        # Explicit, since players guess the colour space from the size of the video.
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        return container

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._container is None:
            return
        keep = kind is None or issubclass(kind, KeyboardInterrupt)
        try:
            if keep:
                self._container.mux(self._stream.encode())
            self._container.close()
            if keep:
                self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)


class FrameFolderWriter:
    """Writes numbered JPEG images into a folder, which is created with the first frame."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._count = 0

    def write(self, frame: np.ndarray, timestamp: int | None = None) -> None:
        """Add a frame, (H, W, 3) uint8 RGB; the timestamp is ignored.

        Raises:
            OSError: if the image cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._count:05d}.jpg"
        if not cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{path} cannot be written")
        self._count += 1
