"""What passes between a run and its workers. Importing it does not load a network."""

from dataclasses import dataclass

from .inputs import Video
from .settings import Settings


def default_workers(cores: int, gpus: int) -> int:
    """The number of workers: one for each GPU, or without any, for each 4 cores."""
    return gpus or max(1, cores // 4)


@dataclass(frozen=True)
class Job:
    """What all workers of a run do.

    Attributes:
        settings: how videos are processed.
        output: the path or address of the output folder.
        part: see ``open_output``.
        threads: threads of each worker.
        retries: how often a video that failed is tried again.
    """

    settings: Settings
    output: str
    part: str = "0-of-1"
    threads: int = 1
    retries: int = 2


@dataclass
class Progress:
    """How far a video is.

    Attributes:
        video: the video.
        frames: number of frames that are finished.
    """

    video: Video
    frames: int


@dataclass
class Outcome:
    """What became of a video.

    Attributes:
        video: the video.
        frames: number of frames.
        reason: why it failed; None if it is finished.
        details: the traceback of a failure that is not the video's fault.
        stops_run: whether all other videos would fail too.
    """

    video: Video
    frames: int = 0
    reason: str | None = None
    details: str | None = None
    stops_run: bool = False
