"""What the commands that process a video write about it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..structures import FrameResult
from ..video import Camera, Source
from ..video.drawing import Trails, draw_tracks
from ..video.frame_files import frame_name
from ..video.id_masks import IdMaskWriter, draw_id_mask
from ..video.window import open_window
from ..video.writing import FrameFolderWriter, VideoWriter, is_video_name
from ..ytvis.writing import track_entries, write_results

if TYPE_CHECKING:
    # Loads torch, without which commands start faster.
    from ..inference.stream import VideoState

Sink = Callable[[FrameResult, np.ndarray], bool]
"""Receives a finished frame and its drawing, (H, W, 3) uint8 RGB. Returns False to stop."""


class VideoOutputs:
    """Writes the drawn frames, the id masks and the tracks of one video; a context manager.

    As with ``VideoWriter``, an error other than Ctrl-C leaves no video behind.

    Attributes:
        paths: what is written.
        num_frames: the number of frames written so far.
    """

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        output: Path,
        results: Path,
        *,
        id_masks: Path | None = None,
        trails: bool = False,
        category_ids: Sequence[int] | None = None,
        title: str = "MaskProp",
    ):
        """
        Args:
            source: the video; a camera is also shown in a window if there is a screen.
            names: the categories of its labels.
            output: video file or folder for the drawn frames.
            results: file for the tracks.
            id_masks: folder for id masks.
            trails: draw the path of each object in the last second.
            category_ids: the ids of the categories in ``results`` (default: 1, 2, ...).
            title: of the window.
        """
        self.paths = [output, results, *([id_masks] if id_masks else [])]
        self.num_frames = 0
        self._source = source
        self._names = names
        self._output, self._results, self._id_masks = output, results, id_masks
        self._category_ids = category_ids or range(1, len(names) + 1)
        self._trails = Trails(length=max(1, round(source.fps))) if trails else None
        self._title = title
        self._sinks: list[Sink] = []
        self._stack = ExitStack()
        self._is_finished = False

    def __enter__(self) -> "VideoOutputs":
        writer: VideoWriter | FrameFolderWriter = FrameFolderWriter(self._output)
        if is_video_name(self._output):
            writer = self._stack.enter_context(VideoWriter(self._output, self._source.fps))
        timestamps = self._source.timestamps if isinstance(self._source, Camera) else None

        def write_drawn(result: FrameResult, drawn: np.ndarray) -> bool:
            writer.write(drawn, timestamps.popleft() if timestamps else None)
            return True

        self._sinks = [write_drawn]
        if self._id_masks:
            id_masks = IdMaskWriter(self._id_masks)

            def write_id_mask(result: FrameResult, drawn: np.ndarray) -> bool:
                size = result.frame.shape[:2]
                ids = draw_id_mask(result.masks, result.track_ids, result.scores, *size)
                id_masks.write(ids, frame_name(self._source, result.index))
                return True

            self._sinks.append(write_id_mask)
        if isinstance(self._source, Camera) and (window := open_window(self._title)):
            self._sinks.append(lambda result, drawn: window.show(drawn))
        return self

    def write(self, result: FrameResult) -> bool:
        """Write a finished frame; False if the user has closed the window."""
        labels = [self._names[label] for label in result.labels]
        objects = result.masks, result.track_ids, labels, result.scores
        drawn = draw_tracks(result.frame, *objects, self._trails)
        go_on = [sink(result, drawn) for sink in self._sinks]
        self.num_frames += 1
        return all(go_on)

    def finish(self, video: "VideoState") -> None:
        """Complete the outputs with the tracks in the frames written so far; once."""
        if not self._is_finished:
            self._is_finished = True
            self._stack.close()
            tracks = video.iter_tracks(self.num_frames)
            write_results(track_entries(tracks, self._names, self._category_ids), self._results)

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]
