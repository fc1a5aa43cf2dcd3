"""Local copies of files at an address."""

import tempfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

import fsspec

from ..errors import InputError
from ..video.frame_files import IMAGE_SUFFIXES
from .inputs import absolute, is_address, open_filesystem


class LocalCopies(ExitStack):
    """Paths where files and folders can be read; a context manager, which deletes the copies of
    those that are not on this machine."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses: dict[Path, str] = {}

    def open(self, address: str, *, is_folder: bool = False) -> Path:
        """The path of a file, or of a folder of images, or of its copy.

        Raises:
            InputError: if there is no such file, or the kind of address is unknown.
            OSError: if it cannot be copied, or is not copied whole.
        """
        if not is_address(address):
            return Path(absolute(address))
        filesystem, path = open_filesystem(address)
        copy = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="maskprop-")))
        try:
            if is_folder:
                for name in filesystem.find(path, maxdepth=1):
                    if (file := PurePosixPath(name)).suffix.lower() in IMAGE_SUFFIXES:
                        _copy(filesystem, name, copy / file.name)
            else:
                copy /= PurePosixPath(urlparse(address).path).name or "video"
                _copy(filesystem, path, copy)
        except FileNotFoundError as error:
            raise InputError(f"{address}: there is no such file") from error
        self._addresses[copy] = address
        return copy

    def rename(self, message: str) -> str:
        """A message with addresses instead of the paths of copies."""
        for copy, address in self._addresses.items():
            message = message.replace(str(copy), address)
        return message


def _copy(filesystem: fsspec.AbstractFileSystem, path: str, copy: Path) -> None:
    filesystem.get_file(path, str(copy))
    size = filesystem.info(path).get("size")
    # A file that ends early would be taken for a shorter video.
    if size is not None and copy.stat().st_size != size:
        raise OSError(f"{path} ended after {copy.stat().st_size} of {size} bytes")
