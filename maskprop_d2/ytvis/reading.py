"""Reading and checking files in YouTube-VIS's format."""

import gzip
import json
import re
import reprlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any, TextIO

from ..errors import AnnotationError
from ..ops.rle import MAX_PIXELS, MAX_SIDE

CHUNK = 2**20
"""Characters that are read at a time."""
MAX_ENTRY = 2**28
"""Characters of one entry of a list: far more than any track of any video has."""
_WHITE_SPACE = re.compile(r"[ \t\r\n]*")


def load_json(path: str | Path) -> Any:
    """Read a json file, also a gzipped one.

    Raises:
        AnnotationError: if it cannot be read or is not json.
    """
    with read_errors(path), _open(path) as file:
        return json.load(file)


def iterate_json(path: str | Path) -> Iterator[Any]:
    """The entries of a json file that is one long list, also a gzipped one; only one entry at a
    time is held in memory.

    Raises:
        AnnotationError: if it cannot be read, or is not a json list.
    """
    with read_errors(path), _open(path) as file:
        yield from iterate_list(file)


def _open(path: str | Path) -> TextIO:
    if str(path).endswith(".zip"):
        raise AnnotationError(f"{path} is an archive: give the json file in it")
    if str(path).endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8")
    return open(path, encoding="utf-8")


@contextmanager
def read_errors(path: str | Path) -> Iterator[None]:
    """All that can go wrong while a json file is read, as an ``AnnotationError``."""
    try:
        yield
    except AnnotationError:
        raise
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: there is no such file") from error
    except RecursionError as error:
        raise AnnotationError(f"{path} is no json that can be used: nested too deep") from error
    # Damaged archives, and, as RuntimeError, encrypted ones.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise AnnotationError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise AnnotationError(f"{path} is no json that can be used: {error}") from error


def iterate_list(file: TextIO) -> Iterator[Any]:
    """The entries of the list that a file's json consists of.

    Raises:
        ValueError, RecursionError: if it is something else.
    """
    reader = _Reader(file)
    if reader.peek() != "[":
        raise ValueError("it must be a list")
    reader.at += 1
    i = 0
    while i or reader.peek() != "]":
        try:
            yield reader.value()
        except json.JSONDecodeError as error:
            raise ValueError(f"entry {i}: {error.msg}") from error
        i += 1
        if reader.peek() != ",":
            break
        reader.at += 1
    if reader.peek() != "]":
        raise ValueError(f"after {i} entries there must be a ',' or a ']'")
    reader.at += 1
    if reader.peek():
        raise ValueError("something follows the list")


class _Reader:
    """Json values one after the other out of a file of any length.

    Attributes:
        at: index, in the part of the text that is held, of what comes next.
    """

    def __init__(self, file: TextIO):
        self.at = 0
        self._file = file
        self._text = ""
        self._ended = False

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            self.at = _WHITE_SPACE.match(self._text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self._text) or self._ended:
                return self._text[self.at : self.at + 1]
            self._read()

    def value(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self._text, self.at)
                # A number at the end of what is held may go on, "1" as "1e+9".
                if end + 2 < len(self._text) or self._ended:
                    self.at = end
                    return value
            except json.JSONDecodeError as error:
                # Only what breaks at the end of what is held, or in a string, may yet be whole.
                cut = error.pos > len(self._text) - 16 or error.msg.startswith("Unterminated")
                if self._ended or not cut:
                    raise
            if len(self._text) - self.at > MAX_ENTRY:
                raise ValueError(f"an entry has more than {MAX_ENTRY} characters")
            self._read()

    def _read(self) -> None:
        """Hold more text: twice as much, so that a long value is not tried too often."""
        rest = self._text[self.at :]
        more = self._file.read(max(CHUNK, len(rest)))
        self._text, self.at, self._ended = rest + more, 0, not more


def check_ground_truth(data: Any, source: str | Path = "ground truth") -> None:
    """Check all that later steps rely on, but not the masks themselves.

    Args:
        data: a whole annotation file; ``annotations`` may be absent, as for hidden test sets.
        source: its name, for messages.

    Raises:
        AnnotationError: naming the first entry that is wrong.
    """
    if not isinstance(data, dict):
        raise AnnotationError(f"{source}: must be an object with 'videos' and 'categories'")
    videos = _by_id(data.get("videos"), "videos", source)
    for video_id, video in videos.items():
        names = video.get("file_names")
        if not isinstance(names, list) or not all(isinstance(x, str) for x in names) or not names:
            raise AnnotationError(f"{source}: video {video_id} needs a list of 'file_names'")
        for key in ("height", "width"):
            if type(video.get(key)) is not int or not 0 < video[key] < MAX_SIDE:
                raise AnnotationError(
                    f"{source}: video {video_id} needs '{key}', a number of pixels, "
                    f"not {reprlib.repr(video.get(key))}"
                )
        if video["height"] * video["width"] > MAX_PIXELS:
            raise AnnotationError(
                f"{source}: video {video_id} has frames of {video['width']} x {video['height']} "
                f"pixels: {MAX_PIXELS} are the most"
            )
    categories = _by_id(data.get("categories"), "categories", source)
    id_of_name: dict[str, int] = {}
    for category_id, category in categories.items():
        name = category.get("name")
        if not isinstance(name, str):
            raise AnnotationError(f"{source}: category {category_id} needs a 'name'")
        if id_of_name.setdefault(name, category_id) != category_id:
            raise AnnotationError(
                f"{source}: categories {id_of_name[name]} and {category_id} have the same name, "
                f"{reprlib.repr(name)}"
            )
    annotations = data.get("annotations")
    if annotations is None:
        annotations = []
    for annotation_id, annotation in _by_id(annotations, "annotations", source).items():
        _check_annotation(annotation, videos, categories, f"{source}: annotation {annotation_id}")


def _by_id(entries: Any, key: str, source: str | Path) -> dict[int, dict[str, Any]]:
    """Entries by their ids, which must be whole numbers from 0 and unique."""
    if not isinstance(entries, list):
        raise AnnotationError(f"{source}: '{key}' must be a list")
    by_id: dict[int, dict[str, Any]] = {}
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or not is_id(entry.get("id")):
            raise AnnotationError(
                f"{source}: entry {i} of '{key}' needs an 'id', a whole number from 0"
            )
        if entry["id"] in by_id:
            raise AnnotationError(f"{source}: two entries of '{key}' have the id {entry['id']}")
        by_id[entry["id"]] = entry
    return by_id


def _check_annotation(
    annotation: dict[str, Any],
    videos: dict[int, dict[str, Any]],
    categories: dict[int, dict[str, Any]],
    where: str,
) -> None:
    for key, known in (("video_id", videos), ("category_id", categories)):
        value = annotation.get(key)
        if not is_id(value) or value not in known:
            raise AnnotationError(f"{where}: unknown '{key}' {reprlib.repr(value)}")
    length = len(videos[annotation["video_id"]]["file_names"])
    segmentations = annotation.get("segmentations")
    if not isinstance(segmentations, list) or len(segmentations) != length:
        has = len(segmentations) if isinstance(segmentations, list) else "none"
        raise AnnotationError(
            f"{where}: 'segmentations' must have one entry (a mask or null) for each of the "
            f"{length} frames of video {annotation['video_id']}, but has {has}"
        )
    areas = annotation.get("areas")
    if areas is not None and (
        not isinstance(areas, list)
        or not all(x is None or (is_number(x) and x >= 0) for x in areas)
    ):
        raise AnnotationError(f"{where}: 'areas' must hold a number or null for each frame")
    if annotation.get("iscrowd", 0) not in (0, 1):
        raise AnnotationError(f"{where}: 'iscrowd' must be 0 or 1")


def leads_out(name: str) -> bool:
    """Whether the name of a frame is no path inside the folder of frames.

    Links in that folder are its owner's, and may lead anywhere.
    """
    # Knows both kinds of slashes.
    path = PureWindowsPath(name)
    return bool(path.anchor) or ".." in path.parts or "\0" in name


def is_id(value: Any) -> bool:
    """Whether it is a whole number from 0."""
    return type(value) is int and value >= 0


def is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold: not NaN, not infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e308 < value < 1e308
