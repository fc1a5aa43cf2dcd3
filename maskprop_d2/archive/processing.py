"""Processing one video of an archive after the other."""

import errno
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from ..inference.linking import build_linker
from ..inference.saved_detections import link_saved_detections, open_detections
from ..model_zoo import ModelOptions, load_model
from ..video import Excerpt, FrameFiles, VideoFile, find_frames
from ..ytvis.track_table import import_pyarrow
from .copies import LocalCopies
from .inputs import Video, detections_address
from .jobs import Outcome
from .outputs import TrackedVideo, write_outputs
from .settings import Settings
from .storage import LAST_FILE, OutputFolder

Report = Callable[[int], None]
"""Receives the number of frames that are finished."""
LINKER = "maskprop"
"""The default tracking method for detections."""
FULL = {errno.ENOSPC, errno.EDQUOT}


class VideoProcessor:
    """Processes videos with a model, or links their detections, into an output folder."""

    def __init__(self, settings: Settings, output: OutputFolder, device: str | None = None):
        """
        Args:
            settings: how.
            output: where the results go.
            device: where the model runs (default: a GPU if there is one).

        Raises:
            InputError: if the model cannot be loaded, an option does not apply to it, or a package
                is missing.
        """
        self._settings = settings
        self._output = output
        self._segmenter = None
        # What would fail each video fails here.
        if "parquet" in settings.formats:
            import_pyarrow()
        if settings.model is None:
            build_linker(lambda frames: [], tracker=settings.tracker or LINKER)
        else:
            options = ModelOptions(
                weights=settings.weights,
                score_threshold=settings.score_threshold,
                categories=settings.categories,
                short_side=settings.short_side,
                tracker=settings.tracker,
                device=device,
            )
            self._segmenter = load_model(settings.model, options)

    def process(self, video: Video, retries: int = 0, report: Report = lambda _: None) -> Outcome:
        """Process a video, unless it is finished. Whatever happens to it is in the outcome.

        Args:
            video: the video.
            retries: how often to try again if the video itself is not what is wrong.
            report: called with the number of frames that are finished.
        """
        for attempt in range(retries + 1):
            outcome = self._try(video, report)
            if outcome.details is None or outcome.stops_run or attempt == retries:
                break
            # A store that is overloaded needs time.
            time.sleep(min(60, 2**attempt))
        return outcome

    def _try(self, video: Video, report: Report) -> Outcome:
        outcome = Outcome(video)
        try:
            if not self._output.is_finished(video.name):
                outcome.frames = self._process(video, report)
        except InputError as error:
            outcome.reason = str(error)
        # Storage, decoders and networks have exceptions of their own.
        except Exception as error:
            outcome.reason = f"{type(error).__name__}: {error}"
            outcome.details = traceback.format_exc()
            if isinstance(error, OSError) and error.errno in FULL:
                outcome.reason += ": make room, and run the same command again"
                outcome.stops_run = True
        return outcome

    def _process(self, video: Video, report: Report) -> int:
        """Returns the number of frames."""
        with LocalCopies() as copies, _collect_warnings() as warnings:
            path = copies.open(video.address, is_folder=video.is_folder)
            try:
                with self._output.new_video(video.name) as folder:
                    tracked = self._start(video, path, copies)
                    summary = write_outputs(tracked, video.address, folder, self._settings, report)
                    messages = [copies.rename(text) for text in warnings]
                    summary = {"video": video.address, **summary, "warnings": messages}
                    text = json.dumps(summary, indent=2) + "\n"
                    (folder / LAST_FILE).write_text(text, encoding="utf-8")
            except InputError as error:
                raise InputError(copies.rename(str(error))) from error
            return summary["frames"]

    def _start(self, video: Video, path: Path, copies: LocalCopies) -> TrackedVideo:
        """Open a video, and its detections if there is no model."""
        settings = self._settings
        source = _open(path, settings.excerpt)
        if self._segmenter is not None:
            names = self._segmenter.network.class_names
            ids = range(1, len(names) + 1)
            return TrackedVideo(source, self._segmenter.stream(source), names, ids)
        address = detections_address(settings.detections or "", video)
        is_folder = not address.endswith((".json", ".json.gz"))
        saved = copies.open(address, is_folder=is_folder)
        detections = open_detections(saved, _open(path, Excerpt()), settings.class_names)
        stream = link_saved_detections(
            detections,
            source,
            settings.stride,
            tracker=settings.tracker or LINKER,
            categories=settings.categories,
            min_score=settings.score_threshold or 0.0,
        )
        return TrackedVideo(source, stream, detections.class_names, detections.category_ids)


def _open(path: Path, excerpt: Excerpt) -> VideoFile | FrameFiles:
    """The frames of a video file or folder of images."""
    if path.is_dir():
        return FrameFiles(find_frames([str(path)]), excerpt=excerpt)
    return VideoFile(path, excerpt)


@contextmanager
def _collect_warnings() -> Iterator[list[str]]:
    """Yield a list that receives the warnings which this package logs."""
    messages: list[str] = []
    logger = logging.getLogger(__package__.partition(".")[0])
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
