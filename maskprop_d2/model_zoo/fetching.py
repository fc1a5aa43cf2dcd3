"""Finding, fetching and checking the weights of presets."""

import contextlib
import hashlib
import importlib.util
import socket
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from iopath.common.file_io import get_cache_dir

from ..errors import FetchError
from .presets import Preset

TIMEOUT = 30
"""Seconds without an answer after which fetching fails."""


def has_detectron2() -> bool:
    """Whether Detectron2 is installed; does not import it."""
    try:
        return importlib.util.find_spec("detectron2") is not None
    # From an import hook that hides it.
    except ModuleNotFoundError:
        return False


def _is_remote(preset: Preset) -> bool:
    return preset.url.startswith(("http://", "https://"))


def local_path(preset: Preset) -> Path:
    """Where the weights of a preset are or will be: in the cache of Detectron2
    (``$FVCORE_CACHE``) or torchvision (``$TORCH_HOME``), so that they are fetched once."""
    if not _is_remote(preset):
        return Path(preset.url.removeprefix("file://"))
    path = Path(urlparse(preset.url).path.lstrip("/"))
    if preset.kind == "detectron2":
        return Path(get_cache_dir()) / path
    return Path(torch.hub.get_dir()) / "checkpoints" / path.name


def fetch_weights(preset: Preset) -> Path:
    """The file with the weights of a preset, fetched first if it is not on this machine.

    Raises:
        FetchError: if it cannot be fetched, or its checksum is wrong.
    """
    path = local_path(preset)
    is_new = not path.is_file()
    if is_new:
        _fetch(preset, path)
    try:
        check_weights_file(path, preset)
    except FetchError:
        # A file that was on this machine before is not ours to delete.
        if is_new:
            path.unlink()
        raise
    return path


def check_weights_file(path: Path, preset: Preset) -> None:
    """Compare a file with the published checksum of a preset's weights.

    Raises:
        FetchError: if they differ.
    """
    if not preset.checksum:
        return
    algorithm, expected = preset.checksum.split(":")
    digest = file_digest(path, algorithm)
    if not digest.startswith(expected):
        raise FetchError(
            f"{path} is damaged or another file: its {algorithm} is "
            f"{digest[: len(expected)]}..., not {expected}... as published for "
            f"{preset.name}. Delete it, and fetch it again from {preset.url}"
        )


def file_digest(path: Path, algorithm: str) -> str:
    """The checksum of a file in hexadecimal digits."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _fetch(preset: Preset, path: Path) -> None:
    """Fetch the weights to ``path``."""
    if not _is_remote(preset):
        raise FetchError(f"{preset.name}: there is no file {path}: name a copy with --weights FILE")
    try:
        with _timeout():
            # Without network this fails before a progress bar is shown.
            urlopen(Request(preset.url, method="HEAD")).close()
            if preset.kind == "detectron2":
                from detectron2.utils.file_io import PathManager

                PathManager.get_local_path(preset.url)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(preset.url, str(path))
    except (OSError, HTTPException) as error:
        cause = error.reason if type(error) is URLError else error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise FetchError(
            f"{preset.name}: {path.name} ({preset.megabytes} MB) cannot be fetched from "
            f"{preset.url}: {reason}. Copy it to this machine and name it with --weights FILE"
        ) from error


@contextlib.contextmanager
def _timeout() -> Iterator[None]:
    """Within the block, connections fail after ``TIMEOUT`` seconds without an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
