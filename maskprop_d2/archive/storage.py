"""The output folder of a run, on a disk or in an object store."""

import fcntl
import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from ..errors import InputError
from ..files import atomic_file
from .inputs import absolute, is_address, open_filesystem

RESULTS, TABLE, DRAWN, ID_MASKS = "results.json", "tracks.parquet", "tracks.mp4", "id_masks"
"""The other files of a video."""
LAST_FILE = "video.json"
"""The last file of a video that is written: with it, the video is finished."""
VIDEOS, FAILED, PARTIAL = "videos", "failed", ".partial"
"""The folders with the results of each video, with a json file for each video that failed, and with
unfinished results."""


def open_output(address: str, part: str = "0-of-1") -> "OutputFolder":
    """The output folder at a path, or at an address that fsspec opens.

    Args:
        address: its path or address.
        part: the name of the part of the run that this process belongs to.

    Raises:
        InputError: if it is a file, or the address cannot be opened.
    """
    return RemoteFolder(address) if is_address(address) else LocalFolder(address, part)


def video_folder(name: str) -> str:
    """The folder of a video in an output folder. A million of them do not share a parent."""
    return f"{VIDEOS}/{name.rpartition('-')[2][:2]}/{name}"


class OutputFolder(ABC):
    """What a run has finished, and where it writes more.

    A video has a folder of its own, which appears complete or not at all, so that a run may be
    killed at any moment.

    Attributes:
        address: its absolute path or address.
    """

    address: str

    @abstractmethod
    def finished(self) -> set[str]:
        """The names of all finished videos."""

    @abstractmethod
    def is_finished(self, name: str) -> bool:
        """Whether a video is finished."""

    @abstractmethod
    def failed(self) -> set[str]:
        """The names of all videos with a record of a failure."""

    @abstractmethod
    def new_video(self, name: str) -> AbstractContextManager[Path]:
        """A context that yields a local folder for the files of a video, and publishes it at the
        end, unless another process finished the video by then."""

    @abstractmethod
    def read_json(self, name: str) -> Any:
        """The content of a json file in the folder; None if there is no such file.

        Raises:
            InputError: if it is not json.
        """

    @abstractmethod
    def write_json(self, name: str, data: Any) -> None:
        """Write a json file."""

    @abstractmethod
    def create_json(self, name: str, data: Any) -> Any:
        """Write a json file unless it exists. Returns the content that it has then."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a file if it exists."""

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, so that no other process runs the same part; delete what a killed one
        left behind.

        Raises:
            InputError: if another process holds it.
        """
        yield


class LocalFolder(OutputFolder):
    """An output folder on a disk, which several machines may share."""

    def __init__(self, address: str, part: str = "0-of-1"):
        self.address = absolute(address)
        self._root = Path(self.address)
        self._part = part
        self._partial = self._root / PARTIAL / part
        if self._root.exists() and not self._root.is_dir():
            raise InputError(f"--output {address} is a file: name a folder")

    def finished(self) -> set[str]:
        names: set[str] = set()
        if (self._root / VIDEOS).is_dir():
            for group in os.scandir(self._root / VIDEOS):
                names.update(os.listdir(group.path))
        return names

    def is_finished(self, name: str) -> bool:
        return (self._root / video_folder(name)).is_dir()

    def failed(self) -> set[str]:
        return {path.stem for path in (self._root / FAILED).glob("*.json")}

    @contextmanager
    def new_video(self, name: str) -> Iterator[Path]:
        folder = self._partial / f"{name}-{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
            _sync(folder)
            target = self._root / video_folder(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(target)
            except OSError:
                # A folder with files is not replaced.
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def read_json(self, name: str) -> Any:
        try:
            return _parse((self._root / name).read_bytes(), self._root / name)
        except FileNotFoundError:
            return None

    def write_json(self, name: str, data: Any) -> None:
        with atomic_file(self._root / name) as partial:
            partial.write_text(_format(data))

    def create_json(self, name: str, data: Any) -> Any:
        self._root.mkdir(parents=True, exist_ok=True)
        partial = self._root / f".partial-{uuid4().hex}"
        try:
            partial.write_text(_format(data))
            # Unlike a renamed file, a link never replaces what another process wrote.
            os.link(partial, self._root / name)
        except FileExistsError:
            return self.read_json(name)
        finally:
            partial.unlink(missing_ok=True)
        return data

    def delete(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / f".lock-{self._part}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    f"another process is writing to {self.address}: wait for its end, or give "
                    "each process its own --shard I/N"
                ) from error
            self._delete_partial()
            yield

    def _delete_partial(self) -> None:
        """Delete what a killed run left behind."""
        trash = self._partial.with_name(f".old-{self._part}")
        shutil.rmtree(trash, ignore_errors=True)
        # Its workers may outlive it by a moment. Renamed first, no folder that they publish lacks
        # files.
        with suppress(FileNotFoundError):
            self._partial.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


class RemoteFolder(OutputFolder):
    """An output folder in an object store, such as ``s3://bucket/folder``."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        self._filesystem, self._root = open_filesystem(self.address)

    def finished(self) -> set[str]:
        self._filesystem.invalidate_cache()
        try:
            paths = self._filesystem.find(f"{self._root}/{VIDEOS}")
        except FileNotFoundError:
            return set()
        return {path.split("/")[-2] for path in paths if path.endswith(f"/{LAST_FILE}")}

    def is_finished(self, name: str) -> bool:
        self._filesystem.invalidate_cache()
        return self._filesystem.exists(f"{self._root}/{video_folder(name)}/{LAST_FILE}")

    def failed(self) -> set[str]:
        try:
            paths = self._filesystem.find(f"{self._root}/{FAILED}")
        except FileNotFoundError:
            return set()
        return {PurePosixPath(path).stem for path in paths if path.endswith(".json")}

    @contextmanager
    def new_video(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="maskprop-") as temporary:
            yield (folder := Path(temporary))
            if self.is_finished(name):
                return
            files = sorted(
                (x for x in folder.rglob("*") if x.is_file()), key=lambda x: x.name == LAST_FILE
            )
            for file in files:
                target = f"{self._root}/{video_folder(name)}/{file.relative_to(folder)}"
                self._filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
                self._filesystem.put_file(str(file), target)

    def read_json(self, name: str) -> Any:
        try:
            return _parse(self._filesystem.cat_file(f"{self._root}/{name}"), name)
        except FileNotFoundError:
            return None

    def write_json(self, name: str, data: Any) -> None:
        self._filesystem.pipe_file(f"{self._root}/{name}", _format(data).encode())

    def create_json(self, name: str, data: Any) -> Any:
        existing = self.read_json(name)
        if existing is None:
            self.write_json(name, data)
        return existing or data

    def delete(self, name: str) -> None:
        if self._filesystem.exists(f"{self._root}/{name}"):
            self._filesystem.rm_file(f"{self._root}/{name}")


def _format(data: Any) -> str:
    return json.dumps(data, indent=2) + "\n"


def _parse(content: bytes, name: str | Path) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise InputError(f"{name} is damaged: {error}") from error


def _sync(folder: Path) -> None:
    """Wait until all files are on disk, so that after a power failure a finished video is whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
