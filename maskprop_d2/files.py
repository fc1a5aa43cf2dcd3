"""Atomic writing: files and folders appear complete or not at all."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


def check_not_read(path: str | Path, inputs: Iterable[str | Path]) -> None:
    """Check that a command does not write what it reads.

    Raises:
        InputError: if the output is one of the inputs.
    """
    if Path(path).resolve() in {Path(x).resolve() for x in inputs}:
        raise InputError(f"--output {path} is what is read: choose another name")


def check_output_file(path: str | None, inputs: Iterable[str | Path]) -> None:
    """Check the path of a file that a command is to write, before it computes the content.

    Args:
        path: the file; None if there is none.
        inputs: what the command reads.

    Raises:
        InputError: if it is a folder, in a folder that does not exist, or one of the inputs.
    """
    if not path:
        return
    check_not_read(path, inputs)
    if Path(path).is_dir() or not Path(path).parent.is_dir():
        raise InputError(f"--output {path} must be a file in an existing folder")


@contextmanager
def atomic_file(path: str | Path, *, fsync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to, and rename it to ``path`` at the end.

    Missing parent folders are created. If anything fails, an existing file stays as it is, and the
    temporary file is deleted.

    Args:
        path: the file to write.
        fsync: wait until the content is on disk, so that after a power failure the name never
            exists without it. Takes some milliseconds.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        if fsync:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a new folder beside ``path`` to fill, and rename it to ``path`` at the end, replacing
    an existing folder. If anything fails, the existing folder stays, and the new one is deleted."""
    path = Path(path)
    partial, old = (path.with_name(f"{path.name}.{x}-{os.getpid()}") for x in ("partial", "old"))
    try:
        partial.mkdir(parents=True)
        yield partial
        if path.exists():
            path.rename(old)
        partial.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
