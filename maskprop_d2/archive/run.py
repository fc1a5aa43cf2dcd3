"""A run over an archive: what is left to do, the engine that does it, and what came of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import InputError
from .inputs import Video
from .jobs import Outcome, Progress
from .progress import ProgressLine
from .settings import Settings, record_run
from .storage import FAILED, open_output

Engine = Callable[[Sequence[Video]], Iterator[Outcome | Progress]]
"""Processes videos, in this order if it can, and yields the outcome of each."""


@dataclass
class Report:
    """What a run has done.

    Attributes:
        before: number of videos that earlier runs had finished.
        finished: number of videos that this run has finished.
        failed: the outcomes of those that failed.
        frames: number of frames that this run has finished.
    """

    before: int = 0
    finished: int = 0
    failed: list[Outcome] = field(default_factory=list)
    frames: int = 0


def run_archive(
    videos: Sequence[Video],
    settings: Settings,
    output: str,
    engine: Engine,
    *,
    part: str = "0-of-1",
) -> Report:
    """Process the videos that are not finished yet.

    A video that fails does not stop the others. ``OUTPUT/failed`` has a json file for each, and
    the next run tries it again.

    Args:
        videos: all videos of this part.
        settings: how they are processed.
        output: the path or address of the output folder.
        engine: what processes them.
        part: the name of the part, see ``open_output``.

    Raises:
        InputError: if the output folder is in use, has results of other settings, or is full; if
            the model cannot be loaded.
    """
    folder = open_output(output, part)
    with folder.lock():
        record_run(settings, folder)
        finished, recorded = folder.finished(), folder.failed()
        for name in recorded & finished:
            folder.delete(f"{FAILED}/{name}.json")
        left = [video for video in videos if video.name not in finished]
        report = Report(before=len(videos) - len(left))
        with ProgressLine(left, report.before) as line:
            for event in engine(left) if left else ():
                if isinstance(event, Progress):
                    line.update(event.video, event.frames)
                    continue
                record = f"{FAILED}/{event.video.name}.json"
                if event.reason is None:
                    report.finished += 1
                    if event.video.name in recorded:
                        folder.delete(record)
                elif event.stops_run:
                    raise InputError(event.reason)
                else:
                    report.failed.append(event)
                    problem = {"video": event.video.address, "reason": event.reason}
                    folder.write_json(record, problem | {"traceback": event.details})
                line.finish(event.video, event.frames, failed=event.reason is not None)
            report.frames = line.frames
    return report
