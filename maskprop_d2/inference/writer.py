"""Writing annotated videos, as a file or as a folder of images."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np


class VideoWriter:
    """Writes an H.264 file that plays in a browser; a context manager.

    The file appears under its name when it is whole. After Ctrl-C that is the video up to there;
    after any other error nothing is left.
    """

    def __init__(self, path: str | Path, fps: Fraction | float):
        """
        Args:
            path: the file to write, in a format by its suffix (.mp4).
            fps: frames per second.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self.path.with_name(f".partial-{self.path.name}")
        self._fps = Fraction(fps).limit_denominator(1001)
        self._container: av.container.OutputContainer | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 RGB, of the first one's size."""
        # The colour format of H.264 that all players know halves both sides.
        frame = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), "edge")
        if self._container is None:
            options = {"movflags": "+faststart"} if self.path.suffix in (".mp4", ".mov") else {}
            self._container = av.open(str(self._partial), "w", options=options)
            self._stream = self._container.add_stream("libx264", self._fps, {"crf": "20"})
            self._stream.height, self._stream.width = frame.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        video_frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
        self._container.mux(self._stream.encode(video_frame))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._container is not None:
            if kind is None or kind is KeyboardInterrupt:
                self._container.mux(self._stream.encode())
                self._container.close()
                self._partial.replace(self.path)
            else:
                self._container.close()
                self._partial.unlink(missing_ok=True)


class FrameFolderWriter:
    """Writes numbered JPEG files into a folder; a context manager like ``VideoWriter``."""

    def __init__(self, folder: str | Path):
        """
        Args:
            folder: made if it is not there.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._count = 0

    def __enter__(self) -> "FrameFolderWriter":
        return self

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, (H, W, 3) uint8 RGB.

        Raises:
            OSError: if it cannot be written.
        """
        path = self.folder / f"{self._count:05d}.jpg"
        if not cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{path} cannot be written")
        self._count += 1

    def __exit__(self, *_: object) -> None:
        pass
