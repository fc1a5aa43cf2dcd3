"""Reading json files, whole or one entry at a time."""

import gzip
import json
import re
import reprlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..errors import AnnotationError

CHUNK = 2**20  # Characters read at a time.
MAX_ENTRY = 2**28  # Limit of characters for one list entry: far more than any track needs.
_WHITE_SPACE = re.compile(r"[ \t\r\n]*")


def load_json(path: str | Path) -> Any:
    """Read a json file (.json or .json.gz).

    Raises:
        AnnotationError: if it cannot be read or is not json.
    """
    with read_errors(path), _open(path) as file:
        return json.load(file)


def iterate_json(path: str | Path, key: str | None = None) -> Iterator[Any]:
    """Iterate over the list in a json file (.json or .json.gz), with one entry in memory at a time.

    Args:
        path: the file.
        key: if the file holds an object, iterate over its list of this name.

    Raises:
        AnnotationError: if the file cannot be read or has no such list.
    """
    with read_errors(path), _open(path) as file:
        reader = _Reader(file)
        if key is None or reader.peek() == "[":
            yield from reader.entries()
        else:
            found = False
            for name in reader.members():
                if name == key:
                    found = True
                    yield from reader.entries()
                else:
                    reader.read_value()
            if not found:
                raise AnnotationError(f"{path} must be a list, or an object with the list '{key}'")
        reader.check_end()


def load_members(path: str | Path, skipped: str) -> dict[str, Any]:
    """Read the object in a json file without its list ``skipped``, which may be too large for
    memory; nothing from a file that holds a list.

    Raises:
        AnnotationError: as ``iterate_json``.
    """
    members: dict[str, Any] = {}
    with read_errors(path), _open(path) as file:
        reader = _Reader(file)
        if reader.peek() != "{":
            return members
        for name in reader.members():
            if name == skipped:
                for _ in reader.entries():
                    pass
            else:
                members[name] = reader.read_value()
    return members


def _open(path: str | Path) -> TextIO:
    if str(path).endswith(".zip"):
        raise AnnotationError(f"{path} is an archive: pass the json file in it")
    if str(path).endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8")
    return open(path, encoding="utf-8")


@contextmanager
def read_errors(path: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong while a json file is read into an ``AnnotationError``."""
    try:
        yield
    except AnnotationError:
        raise
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: there is no such file") from error
    except RecursionError as error:
        raise AnnotationError(f"{path} is not valid json: nested too deep") from error
    # zipfile raises RuntimeError for encrypted archives.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise AnnotationError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise AnnotationError(f"{path} is not valid json: {error}") from error


def iterate_list(file: TextIO) -> Iterator[Any]:
    """Iterate over the json list in an open file, with one entry in memory at a time.

    Raises:
        ValueError, RecursionError: if the file holds something else.
    """
    reader = _Reader(file)
    yield from reader.entries()
    reader.check_end()


class _Reader:
    """Reads json values one after the other from a file of any length."""

    def __init__(self, file: TextIO):
        self._file = file
        self._position = 0  # Index of the next character in the buffer.
        self._buffer = ""
        self._ended = False

    def peek(self) -> str:
        """The next character after white space, "" at the end of the file."""
        while True:
            space = _WHITE_SPACE.match(self._buffer, self._position)
            self._position = space.end() if space else self._position
            if self._position < len(self._buffer) or self._ended:
                return self._buffer[self._position : self._position + 1]
            self._fill()

    def skip(self, character: str) -> bool:
        """Skip the next character if it is this one; whether it is."""
        is_next = self.peek() == character
        self._position += is_next
        return is_next

    def entries(self) -> Iterator[Any]:
        """The entries of the list that comes next."""
        if not self.skip("["):
            raise ValueError("must be a list")
        i = 0
        is_closed = self.skip("]")
        while not is_closed:
            try:
                yield self.read_value()
            except json.JSONDecodeError as error:
                raise ValueError(f"entry {i}: {error.msg}") from error
            i += 1
            is_closed = self.skip("]")
            if not is_closed and not self.skip(","):
                raise ValueError(f"expected ',' or ']' after {i} entries")

    def members(self) -> Iterator[str]:
        """The names of the members of the object that comes next. The caller reads each value."""
        if not self.skip("{"):
            raise ValueError("must be a list or an object")
        is_closed = self.skip("}")
        while not is_closed:
            name = self.read_value()
            if not isinstance(name, str) or not self.skip(":"):
                raise ValueError("expected a name and ':' in an object")
            yield name
            is_closed = self.skip("}")
            if not is_closed and not self.skip(","):
                raise ValueError(f"expected ',' or '}}' after {reprlib.repr(name)}")

    def check_end(self) -> None:
        """Check that nothing follows."""
        if self.peek():
            raise ValueError("extra text after the end")

    def read_value(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self._buffer, self._position)
                # A number at the end of the buffer may continue: "1" may be the start of "1e+9".
                if end + 2 < len(self._buffer) or self._ended:
                    self._position = end
                    return value
            except json.JSONDecodeError as error:
                # An error at the end of the buffer or in a string may only mean that the rest of
                # the value is not read yet.
                cut = error.pos > len(self._buffer) - 16 or error.msg.startswith("Unterminated")
                if self._ended or not cut:
                    raise
            if len(self._buffer) - self._position > MAX_ENTRY:
                raise ValueError(f"an entry has more than {MAX_ENTRY} characters")
            self._fill()

    def _fill(self) -> None:
        """Read more text. The buffer doubles, so that long values are not parsed too often."""
        rest = self._buffer[self._position :]
        more = self._file.read(max(CHUNK, len(rest)))
        self._buffer, self._position, self._ended = rest + more, 0, not more
