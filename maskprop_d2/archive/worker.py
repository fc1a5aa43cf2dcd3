"""What a worker does: it loads the model, and then works on one video at a time."""

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

import cv2
import torch

from ..errors import InputError
from .inputs import Video
from .jobs import Job, Outcome
from .processing import Report, VideoProcessor
from .storage import open_output

GPU_LOST = 70
"""Exit status of a worker that can no longer use its GPU."""
REPORT_SECONDS = 0.5
"""A worker says at most that often how far it is."""


def start_processor(job: Job, index: int) -> VideoProcessor:
    """Load the model in this process, on a GPU of its own as long as there are enough.

    Args:
        job: what to do.
        index: the number of the worker.

    Raises:
        InputError: see ``VideoProcessor``.
    """
    # The same from each worker; what is wrong with a video is recorded beside its tracks.
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    torch.set_num_threads(job.threads)
    cv2.setNumThreads(job.threads)
    gpus = torch.cuda.device_count()
    device = f"cuda:{index % gpus}" if gpus else None
    return VideoProcessor(job.settings, open_output(job.output, job.part), device)


def process_video(
    processor: VideoProcessor, video: Video, retries: int, report: Report = lambda _: None
) -> Outcome:
    """``VideoProcessor.process``, but if the GPU can no longer be used, end this process.

    After an error such as an illegal memory access, all operations of a process on the GPU fail. In
    a new process, the video and the others can be processed.
    """
    outcome = processor.process(video, retries, report)
    if outcome.details is not None and _gpu_is_lost():
        os._exit(GPU_LOST)
    return outcome


def _gpu_is_lost() -> bool:
    try:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def work(connection: Connection, job: Job, index: int, temporary: str) -> None:
    """The main function of a worker process: receives ``Video`` and sends messages.

    Args:
        connection: sends ("ready", None), or ("unusable", message) if the model cannot be loaded;
            then for each video some of ("frames", number so far), and ("outcome", ``Outcome``).
        job: what to do.
        index: the number of the worker.
        temporary: folder for temporary files, which is deleted with the process that started this.
    """
    tempfile.tempdir = temporary
    # Ctrl-C is for the process that started this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(temporary,), daemon=True).start()
    try:
        processor = start_processor(job, index)
    except (InputError, OSError) as error:
        connection.send(("unusable", str(error)))
        return
    connection.send(("ready", None))
    while True:
        try:
            video = connection.recv()
        except EOFError:
            return
        outcome = process_video(processor, video, job.retries, _Reporter(connection))
        connection.send(("outcome", outcome))


class _Reporter:
    """Sends the number of finished frames, but not too often."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._sent = time.monotonic()

    def __call__(self, frames: int) -> None:
        now = time.monotonic()
        if now > self._sent + REPORT_SECONDS:
            self._connection.send(("frames", frames))
            self._sent = now


def _exit_with_parent(temporary: str) -> None:
    """End this process at once when the one that started it has ended, even if it was killed, and
    delete the temporary files."""
    parent: Any = parent_process()
    parent.join()
    shutil.rmtree(temporary, ignore_errors=True)
    os._exit(1)
