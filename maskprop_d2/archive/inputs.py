"""Finding the videos of an archive: files, folders, glob patterns, text lists and addresses."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from ..errors import InputError
from ..video.frame_files import IMAGE_SUFFIXES
from ..video.writing import VIDEO_SUFFIXES

INPUT_SUFFIXES = VIDEO_SUFFIXES | {
    *(".3gp", ".asf", ".flv", ".gif", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts"),
    *(".vob", ".webm", ".wmv"),
}
"""Names of videos in folders and in the matches of patterns."""
LIST_SUFFIX = ".txt"


@dataclass(frozen=True)
class Video:
    """One video of an archive.

    Attributes:
        address: absolute path or address of a video file, or of a folder with its frames.
        size: in bytes; 0 if it is not known.
        is_folder: whether it is a folder of images.
    """

    address: str
    size: int = 0
    is_folder: bool = False

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.address.encode()).hexdigest()[:16]

    @property
    def stem(self) -> str:
        """The name of the file without suffix, or of the folder."""
        path = PurePosixPath(self.address)
        return path.name if self.is_folder else path.stem

    @property
    def name(self) -> str:
        """A name for the outputs: the stem and a hash of the address, so that two videos have
        two names, which do not change if others are added."""
        stem = re.sub(r"[^\w.-]+", "_", self.stem)[:40]
        return f"{stem}-{self._digest}"

    def is_in_shard(self, index: int, count: int) -> bool:
        """Whether it is in part ``index`` (from 0) of ``count`` parts of any archive."""
        return int(self._digest, 16) % count == index


def find_videos(inputs: Iterable[str], exclude: Sequence[str] = ()) -> list[Video]:
    """The videos in some inputs without duplicates, the largest first, so that no worker is left
    with a long one at the end.

    Args:
        inputs: each a video file, of any suffix; a folder, searched with all folders in it for
            videos and for folders of images, each of which is a video; a glob pattern for files
            and folders; any of these as an address that fsspec opens, such as
            ``s3://bucket/folder``, where ``http://`` addresses are files; or a local text list
            (.txt) with an input per line.
        exclude: what is in these folders is left out.

    Raises:
        InputError: if an input does not exist, cannot be listed, or has no video, or if all videos
            are left out.
    """
    excluded = tuple(absolute(x).rstrip("/") + "/" for x in exclude)
    found = {video.address: video for name in inputs for video in _find(name)}
    videos = [x for x in found.values() if not f"{x.address}/".startswith(excluded)]
    if found and not videos:
        raise InputError(
            f"all videos are in folders of results, {' and '.join(exclude)}: name another --output"
        )
    return sorted(videos, key=lambda x: (-x.size, x.address))


def detections_address(pattern: str, video: Video) -> str:
    """The path or address of a video's detections.

    Args:
        pattern: in which ``{stem}`` stands for the name of the video without suffix, ``{parent}``
            for that of the folder it is in, and ``{folder}`` for the path or address of that.
        video: the video.

    Raises:
        InputError: if the pattern has other fields, or none.
    """
    folder = video.address.rpartition("/")[0]
    fields = {"stem": video.stem, "folder": folder, "parent": folder.rpartition("/")[2]}
    try:
        address = pattern.format_map(fields)
    except (LookupError, ValueError, AttributeError) as error:
        raise InputError(
            f"--detections {pattern}: it may have the fields {{stem}}, {{parent}} and {{folder}}, "
            f"but: {error}"
        ) from error
    if address == pattern:
        raise InputError(
            f"--detections {pattern} is the same for all videos: write {{stem}} where the name of "
            "a video stands, as in detections/{stem}.json"
        )
    return address


def is_address(name: str) -> bool:
    """Whether a name is an address rather than a path."""
    return "://" in name


def absolute(name: str) -> str:
    """The absolute path of a path; an address as it is."""
    return name if is_address(name) else os.path.abspath(os.path.expanduser(name))


def absolute_pattern(pattern: str) -> str:
    """A pattern of ``detections_address`` from any working directory."""
    # Paths and addresses of folders are absolute already.
    return pattern if pattern.startswith("{folder}") else absolute(pattern)


def open_filesystem(address: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or address, and the path in it.

    Raises:
        InputError: if the kind of address is unknown or needs a package that is not installed.
    """
    try:
        return url_to_fs(absolute(address))
    except (ImportError, ValueError) as error:
        raise InputError(f"{address} cannot be opened: {error}") from error


def _find(name: str) -> Iterator[Video]:
    """The videos of one input."""
    if name.lower().endswith(LIST_SUFFIX) and not is_address(name):
        yield from _find_listed(Path(name))
        return
    if name.startswith(("http://", "https://")):
        yield Video(name)
        return
    filesystem, path = open_filesystem(name)
    try:
        videos = list(_find_in(filesystem, path))
    # Each kind of storage has exceptions of its own for a wrong name or missing permission.
    except Exception as error:
        raise InputError(f"{name} cannot be listed: {error or type(error).__name__}") from error
    if not videos:
        raise InputError(
            f"there is no video at {name} (looked for {', '.join(sorted(INPUT_SUFFIXES))}, and for "
            "folders of images)"
        )
    yield from videos


def _find_listed(path: Path) -> Iterator[Video]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a text list: {error}") from error
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise InputError(f"{path} lists no video")
    for name in names:
        if name.lower().endswith(LIST_SUFFIX):
            raise InputError(f"{path}: {name}: a text list cannot hold another one")
        try:
            yield from _find(name)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _find_in(filesystem: fsspec.AbstractFileSystem, path: str) -> Iterator[Video]:
    """The videos at a path or pattern."""
    if re.search(r"[*?\[]", path) and not filesystem.exists(path):
        for match, info in sorted(filesystem.glob(path, detail=True).items()):
            if _is_hidden(match, path):
                continue
            if info["type"] == "directory":
                yield from _walk(filesystem, match)
            elif _suffix(match) in INPUT_SUFFIXES:
                yield _file(filesystem, match, info)
    elif filesystem.isdir(path):
        yield from _walk(filesystem, path)
    elif filesystem.exists(path):
        yield _file(filesystem, path, filesystem.info(path))


def _walk(filesystem: fsspec.AbstractFileSystem, folder: str) -> Iterator[Video]:
    """The videos and the folders of images in a folder and all folders in it."""
    image_folders: dict[str, int] = {}
    for path, info in filesystem.find(folder, detail=True).items():
        if _is_hidden(path, folder):
            continue
        if _suffix(path) in INPUT_SUFFIXES:
            yield _file(filesystem, path, info)
        elif _suffix(path) in IMAGE_SUFFIXES:
            parent = path.rpartition("/")[0]
            image_folders[parent] = image_folders.get(parent, 0) + (info["size"] or 0)
    for path, size in image_folders.items():
        yield Video(_address(filesystem, path), size, is_folder=True)


def _file(filesystem: fsspec.AbstractFileSystem, path: str, info: dict[str, Any]) -> Video:
    return Video(_address(filesystem, path), info.get("size") or 0)


def _is_hidden(path: str, searched: str) -> bool:
    """Whether a part of a path starts with a dot that is not named in what was searched for."""
    hidden = {part for part in path.split("/") if part.startswith(".")}
    return not hidden.issubset(searched.split("/"))


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _address(filesystem: fsspec.AbstractFileSystem, path: str) -> str:
    is_local = "file" in filesystem.protocol
    return os.path.abspath(path) if is_local else filesystem.unstrip_protocol(path)
