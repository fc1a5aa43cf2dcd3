"""Reading many inputs in a separate process with limits on time and memory."""

import contextlib
import logging
import multiprocessing
import os
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from maskprop_d2.errors import InputError

from .readers import READERS

SECONDS = 1.0
"""CPU time limit for one input."""
TIMEOUT = 20.0
"""Wall time limit for one input in seconds; high, since the machine may be busy."""
BYTES = 2**30
"""Memory limit for one input."""


def make_input(name: str, seed: int, i: int) -> bytes:
    """Input number ``i`` of a seed for the reader ``name``."""
    return READERS[name].make(Random(f"{name} {seed} {i}"))


def find_failures(name: str, seed: int, count: int) -> Iterator[tuple[int, str]]:
    """Read the inputs 0 to ``count - 1`` of a seed with the reader ``name``.

    Yields:
        the number of each input that the reader fails on, and how it fails.
    """
    # Forking a process with threads can hang.
    context = multiprocessing.get_context("spawn")
    begin = 0
    while begin < count:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(name, seed, begin, count, theirs))
        process.start()
        theirs.close()
        reading = begin - 1
        try:
            while reading < count:
                # The first message comes after all imports.
                if not ours.poll(TIMEOUT if reading >= begin else 120):
                    yield reading, f"hangs for {TIMEOUT:g} s"
                    break
                reading, failure = ours.recv()
                if failure is not None:
                    yield reading, failure
        except EOFError:
            process.join()
            yield reading, f"the process ends with {process.exitcode}"
            if reading < begin:
                # The process cannot start.
                return
        process.kill()
        process.join()
        begin = reading + 1


def _work(name: str, seed: int, begin: int, count: int, answers: Connection) -> None:
    """Send the number of each input before reading it, and each failure."""
    os.environ["AV_LOG_LEVEL"] = "quiet"
    logging.disable()
    warnings.simplefilter("ignore")
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as folder, _silent_libraries():
        path = Path(folder) / f"input{reader.suffix}"
        # Warm up, since some libraries are loaded on first use.
        for i in range(20):
            path.write_bytes(make_input(name, seed - 1, i))
            with contextlib.suppress(Exception):
                reader.read(path)
        # A hard limit far above the allowed memory, so that excess is measured.
        limit = _memory("VmSize") + 4 * BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for i in range(begin, count):
            path.write_bytes(make_input(name, seed, i))
            answers.send((i, None))
            before = _memory("VmPeak"), _memory("VmSize")
            failure = _read(name, path)
            taken = _memory("VmPeak") - max(before[1], 0)
            if failure is None and _memory("VmPeak") > before[0] and taken > BYTES:
                failure = f"takes {taken / 2**20:.0f} MiB"
            if failure is not None:
                answers.send((i, failure))
        answers.send((count, None))


def _read(name: str, path: Path) -> str | None:
    """How reading fails, None if it does not."""
    start = time.process_time()
    try:
        READERS[name].read(path)
    except InputError as error:
        if "\n" in str(error) or len(str(error)) > 1000:
            return f"an error message of many lines: {str(error)[:200]!r}"
    except Exception:
        return traceback.format_exc()
    seconds = time.process_time() - start
    return f"takes {seconds:.1f} s" if seconds > SECONDS else None


def _memory(kind: str) -> int:
    """A value of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(kind)


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """C libraries report damaged files on standard error: discard it."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
