"""The progress line of a run."""

import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from tqdm import tqdm

from .inputs import Video

BAR = "{percentage:3.0f}% {bar:20} {n_fmt}/{total_fmt} videos{postfix}"


class ProgressLine:
    """Shows the videos and frames that are done, the rate, the time left, and how many failed; a
    context manager. In a log file instead of a terminal, it is a line every 30 s.

    Attributes:
        frames: number of frames that are done.
    """

    def __init__(self, videos: Sequence[Video], finished: int):
        """
        Args:
            videos: those to process.
            finished: the number of others, which are finished already.
        """
        is_terminal = sys.stderr.isatty()
        self._interval = 0.5 if is_terminal else 30.0
        self._end = {} if is_terminal else {"file": _Lines()}
        self._bar = tqdm(
            total=finished + len(videos),
            initial=finished,
            bar_format=BAR,
            mininterval=self._interval,
            **self._end,
        )
        # The size of a file says more about the time it takes than its being one video.
        self._weights = {video.name: max(1, video.size) for video in videos}
        self._weight_left = self._total_weight = sum(self._weights.values())
        self._started: dict[str, int] = {}
        self._failed = 0
        self._start = self._shown = time.monotonic()
        self.frames = 0

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._show()
        self._bar.close()

    def update(self, video: Video, frames: int) -> None:
        """Show that a video is being processed."""
        self.frames += frames - self._started.get(video.name, 0)
        self._started[video.name] = frames
        self._show_sometimes()

    def finish(self, video: Video, frames: int, *, failed: bool) -> None:
        """Show that a video is done, with this number of frames, or has failed."""
        self.frames += frames - self._started.pop(video.name, 0)
        self._weight_left -= self._weights[video.name]
        self._failed += failed
        self._bar.n += 1
        self._show_sometimes()

    def _show_sometimes(self) -> None:
        if time.monotonic() > self._shown + self._interval:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        seconds = self._shown - self._start
        done = self._total_weight - self._weight_left
        texts = [f"{self.frames} frames", f"{self.frames / max(seconds, 1e-3):.1f} frames/s"]
        if done and self._weight_left:
            left = timedelta(seconds=round(seconds * self._weight_left / done))
            texts.append(f"{left} left")
        if self._failed:
            texts.append(f"{self._failed} failed")
        self._bar.set_postfix_str(", ".join(texts), refresh=True)


class _Lines:
    """Standard error without the characters that move a cursor."""

    def write(self, text: str) -> None:
        if text := text.replace("\r", "").strip():
            print(text, file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()
