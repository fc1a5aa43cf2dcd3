"""Writing files and folders whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Gives a name beside ``path`` to write to; at the end the file moves to its place.

    Whatever ends the process, under ``path`` is the old file or the whole new one. After an error
    nothing of the new one is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            # Else after a loss of power the name may be there before the content.
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Gives a new folder beside ``path`` to fill; at the end it takes its place, also that of a
    folder that is there. After an error nothing of it is left."""
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
