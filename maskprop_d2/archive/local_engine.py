"""Worker processes on one machine."""

import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import InputError
from .inputs import Video
from .jobs import Job, Outcome, Progress

WORKER_MODULE = f"{__package__}.worker"
"""Loads the networks; this process does not need them."""
MAX_FAILED_STARTS = 3
"""Workers that may die in a row before their first video."""


def process_locally(
    videos: Iterable[Video], job: Job, *, workers: int, timeout: float
) -> Iterator[Outcome | Progress]:
    """Process videos in worker processes. One that dies is replaced, and its video tried again.

    Args:
        videos: in the order to start them in.
        job: what the workers do.
        workers: number of processes.
        timeout: seconds without a finished frame after which a worker is killed.

    Yields:
        the progress of videos, and the outcome of each.

    Raises:
        InputError: if the model cannot be loaded.
    """
    pool = _Pool(videos, job, workers, timeout)
    try:
        yield from pool.run()
    finally:
        pool.kill()


def _work(*arguments: Any) -> None:
    """The main function of a worker process."""
    import_module(WORKER_MODULE).work(*arguments)


class _Worker:
    """A process, and what it works on."""

    def __init__(self, context: Any, job: Job, index: int, temporary: str):
        self.index = index
        self.connection: Connection
        self.connection, other_end = context.Pipe()
        self.process = context.Process(
            target=_work, args=(other_end, job, index, temporary), daemon=True
        )
        self.process.start()
        # So that the connection ends with the process.
        other_end.close()
        self.is_ready = False
        self.task: _Task | None = None
        self.last_message = time.monotonic()

    def give(self, task: "_Task") -> None:
        """Start on a video."""
        task.attempts += 1
        self.task = task
        self.last_message = time.monotonic()
        # If it died a moment ago, the next wait finds out.
        with suppress(OSError):
            self.connection.send(task.video)

    def cause_of_death(self) -> str:
        """Why the process ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"its process ended with status {code}"
        name = signal.Signals(-code).name
        hint = "; is there enough memory?" if -code == signal.SIGKILL else ""
        return f"its process was killed by {name}{hint}"


@dataclass
class _Task:
    video: Video
    attempts: int = 0


class _Pool:
    """The workers, and the videos that wait for one."""

    def __init__(self, videos: Iterable[Video], job: Job, workers: int, timeout: float):
        self._queue = deque(_Task(video) for video in videos)
        self._job = job
        self._timeout = timeout
        self._failed_starts = 0
        # Forked from a process that has imported all modules but has no threads.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([WORKER_MODULE])
        # Read when these libraries are loaded.
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(job.threads)
        self._temporary = tempfile.mkdtemp(prefix="maskprop-")
        count = min(workers, len(self._queue))
        self._workers = [self._start(index) for index in range(count)]

    def _start(self, index: int) -> _Worker:
        return _Worker(self._context, self._job, index, self._temporary)

    def run(self) -> Iterator[Outcome | Progress]:
        """Yield the progress of the videos, and the outcome of each."""
        while self._queue or any(worker.task for worker in self._workers):
            ready = wait([worker.connection for worker in self._workers], timeout=1)
            for i, worker in enumerate(self._workers):
                if worker.connection in ready:
                    try:
                        message = worker.connection.recv()
                    except (EOFError, OSError):
                        yield from self._bury(i, worker.cause_of_death())
                        continue
                    yield from self._handle(worker, message)
                elif worker.task and time.monotonic() > worker.last_message + self._timeout:
                    worker.process.kill()
                    reason = f"no frame was finished for {self._timeout:g} s"
                    yield from self._bury(i, reason)

    def kill(self) -> None:
        """End all processes at once; each video is finished or as if it had never begun."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
        # Copies of videos, and results that were not published.
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _handle(self, worker: _Worker, message: tuple[str, Any]) -> Iterator[Outcome | Progress]:
        kind, value = message
        worker.last_message = time.monotonic()
        if kind == "unusable":
            raise InputError(value)
        if kind == "frames":
            assert worker.task is not None
            yield Progress(worker.task.video, value)
            return
        worker.is_ready = True
        worker.task = None
        self._failed_starts = 0
        if self._queue:
            worker.give(self._queue.popleft())
        if kind == "outcome":
            yield value

    def _bury(self, i: int, reason: str) -> Iterator[Outcome]:
        """Replace a dead worker, and try its video again."""
        worker = self._workers[i]
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise InputError(f"a worker cannot start: {reason}")
        task = worker.task
        # Before the next worker starts: it may need the memory.
        worker.process.join()
        if task is not None and task.attempts <= self._job.retries:
            self._queue.appendleft(task)
            task = None
        self._workers[i] = self._start(worker.index)
        if task is not None:
            yield Outcome(task.video, reason=reason)
