"""Reading CVAT's xml: "CVAT for video 1.1" and "CVAT for images 1.1"."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from ..errors import AnnotationError
from ..ops.rle import encode
from ..structures import RLE
from ..video.frame_files import IMAGE_SUFFIXES
from ..video.images import image_size
from ..video.writing import VIDEO_SUFFIXES
from ..ytvis.checks import escapes_folder
from .tracks import MAX_FRAMES, ToolAnnotations, ToolVideo, check_size, list_frames, quote, to_mask

SHAPES = ("polygon", "mask", "box", "ellipse", "polyline", "points", "cuboid", "skeleton")


def read(source: Path, frames: Path | None) -> ToolAnnotations:
    """Read an xml file, a zip file as CVAT exports it, or a folder of them.

    Raises:
        AnnotationError: if one cannot be used.
    """
    paths = [source]
    if source.is_dir():
        paths = sorted(x for x in source.iterdir() if x.suffix in (".xml", ".zip"))
    annotations = ToolAnnotations([], [])
    for path in paths:
        reader = _Reader(path, frames, annotations)
        with _xml_errors(path), _open(path) as file:
            reader.read(file)
        known = {video.name for video in annotations.videos}
        for video in reader.finish():
            if video.name in known:
                raise AnnotationError(
                    f"{path}: there is another file with a task {quote(video.name)} in the folder"
                )
            annotations.videos.append(video)
    if not annotations.videos:
        raise AnnotationError(f"{source}: there is no annotation of CVAT")
    return annotations


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open("annotations.xml") as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def _xml_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except AnnotationError:
        raise
    except FileNotFoundError as error:
        raise AnnotationError(f"{path}: there is no such file") from error
    except ElementTree.ParseError as error:
        raise AnnotationError(f"{path} is damaged or is not xml: {error}") from error
    # A damaged zip file.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise AnnotationError(f"{path} is damaged or cannot be read") from error
    # A zip file without annotations.xml, or with a password; an unknown encoding.
    except (RuntimeError, LookupError) as error:
        raise AnnotationError(f"{path} is not an export of CVAT: {error.args[0]}") from error
    except ValueError as error:
        raise AnnotationError(f"{path}: {error}") from error


@dataclass
class _Task:
    """A video of the file: its name, and which of its frames are listed."""

    name: str
    length: int
    start: int
    step: int
    size: tuple[int, int] | None


class _Reader:
    """Reads one file."""

    def __init__(self, path: Path, frames: Path | None, annotations: ToolAnnotations):
        self._path = path
        self._frames = frames
        self._annotations = annotations
        self._tasks: dict[str, _Task] = {}
        self._videos: dict[str, ToolVideo] = {}

    def read(self, file: IO[bytes]) -> None:
        parent: dict[str, str] = {}
        number = 0
        is_nested = False
        for event, element in ElementTree.iterparse(file, ("start", "end")):
            if event == "start":
                if element.tag in ("track", "image"):
                    parent, number = dict(element.attrib), number + 1
                    parent["tag"] = element.tag
                    if element.tag == "image":
                        self._note_name(parent)
                is_nested = is_nested or element.tag == "skeleton"
            elif element.tag == "meta":
                self._read_meta(element)
            elif element.tag in SHAPES and parent:
                is_nested = is_nested and element.tag != "skeleton"
                if not is_nested:
                    self._read_shape(parent, number, element)
                element.clear()
            elif element.tag in ("track", "image"):
                parent = {}
                element.clear()

    def finish(self) -> list[ToolVideo]:
        """The videos, also those without an object."""
        if not self._tasks:
            raise AnnotationError(f"{self._path} is not an export of CVAT: it has no task")
        return [self._video(x) for x in self._tasks]

    def _read_meta(self, meta: Element) -> None:
        for label in meta.iter("label"):
            name = label.findtext("name")
            is_part = label.findtext("parent") is not None or label.findtext("type") == "skeleton"
            if name and not is_part and name not in self._annotations.categories:
                self._annotations.categories.append(name)
        for task in [*meta.iter("task"), *meta.iter("job")]:
            name = task.findtext("name") or self._path.stem
            step = (task.findtext("frame_filter") or "").strip().removeprefix("step=")
            size = task.find("original_size")
            size = meta.find("original_size") if size is None else size
            length = _to_int(task.findtext("size"), "size")
            if length > MAX_FRAMES:
                raise ValueError(
                    f"task {quote(name)} has {length} frames; the limit is {MAX_FRAMES}"
                )
            self._tasks[task.findtext("id") or ""] = _Task(
                _folder(name),
                length,
                _to_int(task.findtext("start_frame") or "0", "start_frame"),
                max(1, _to_int(step or "1", "frame_filter")),
                None if size is None else _size(size.findtext("height"), size.findtext("width")),
            )

    def _note_name(self, image: dict[str, str]) -> None:
        """Images of a CVAT file for images have names; those of videos have no suffix."""
        name = image.get("name", "")
        if self._frames is None and Path(name).suffix.lower() in IMAGE_SUFFIXES:
            try:
                task_id = self._task_id(image)
                video = self._video(task_id, image)
                frame = self._frame(self._tasks[task_id], image.get("id"))
            except ValueError as error:
                raise ValueError(f"image {quote(name)}: {error}") from error
            if escapes_folder(name):
                raise ValueError(f"image {quote(name)} is not in the folder of the frames")
            video.file_names[frame] = name if "/" in name else f"{video.name}/{name}"

    def _read_shape(self, parent: dict[str, str], number: int, shape: Element) -> None:
        values = shape.attrib
        if shape.tag not in ("polygon", "mask"):
            self._annotations.notes[f"shapes that are no masks were ignored ({shape.tag})"] += 1
            return
        if values.get("outside") == "1":
            return
        is_track = parent["tag"] == "track"
        where = parent if is_track else values
        group, track_id = where.get("group_id") or "0", f"track {number}" if is_track else None
        frame_number = values.get("frame") if is_track else parent.get("id")
        try:
            task_id = self._task_id(parent)
            task = self._tasks[task_id]
            video = self._video(task_id, parent)
            frame = self._frame(task, frame_number)
            mask = _read_mask(shape, video.size)
            category = where.get("label")
            if category is None:
                raise ValueError("it has no label")
            if category not in self._annotations.categories:
                raise ValueError(f"the label {quote(category)} is not in the list of labels")
        except ValueError as error:
            name = f"track {quote(parent.get('id', ''))}, frame" if is_track else "image"
            raise ValueError(f"{name} {quote(frame_number or '')}: {error}") from error
        if mask is not None:
            video.add(f"group {group}" if group != "0" else track_id, category, frame, mask)
            if group == "0" and not is_track:
                self._annotations.notes["shapes have no group: each is a track of one frame"] += 1

    def _frame(self, task: _Task, number: str | None) -> int:
        """Index of a frame. Its number counts all frames of the video file."""
        index = (_to_int(number, "frame") - task.start) / task.step
        if not (index.is_integer() and 0 <= index < task.length):
            raise ValueError(f"the video has {task.length} frames")
        return int(index)

    def _task_id(self, parent: dict[str, str]) -> str:
        task_id = parent.get("task_id")
        if not self._tasks:
            raise AnnotationError(f"{self._path} is not an export of CVAT: it has no task")
        if task_id is None and len(self._tasks) == 1:
            return next(iter(self._tasks))
        if task_id is None or task_id not in self._tasks:
            raise ValueError(f"its task ({quote(str(task_id))}) is not in the file")
        return task_id

    def _video(self, task_id: str, image: dict[str, str] | None = None) -> ToolVideo:
        if task_id not in self._videos:
            task = self._tasks[task_id]
            names = list_frames(self._frames, task.name, task.length)
            size = task.size
            if self._frames is not None:
                size = image_size(self._frames / names[0])
            elif image and "width" in image:
                size = _size(image.get("height"), image.get("width"))
            if size is None:
                raise AnnotationError(
                    f"{self._path} does not say how large the frames are: name their folder with "
                    "--frames"
                )
            self._videos[task_id] = ToolVideo(task.name, size, names)
        return self._videos[task_id]


def _read_mask(shape: Element, size: tuple[int, int]) -> RLE | None:
    values = shape.attrib
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in values.get("points", "").split(";")]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("'points' must be x,y;x,y;...")
        points = [float(value) for pair in pairs for value in pair]
        return to_mask([points], size)
    left, top, width, height = (
        _to_int(values.get(key), key) for key in ("left", "top", "width", "height")
    )
    if min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise ValueError(f"the mask's box is not in the frame of {size[1]} x {size[0]} pixels")
    texts = values.get("rle", "").split(",")
    runs = [_to_int(x.strip(), "rle") for x in texts]
    if sum(runs) != width * height:
        raise ValueError("the mask's runs must add up to the pixels of its box")
    mask = np.zeros(size, bool)
    crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = crop
    return encode(mask) if crop.any() else None


def _folder(name: str) -> str:
    """The folder of a task's frames. Tasks often have the name of their video file."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in VIDEO_SUFFIXES else name


def _size(height: str | None, width: str | None) -> tuple[int, int]:
    return check_size(_to_int(height, "height"), _to_int(width, "width"))


def _to_int(text: Any, name: str) -> int:
    if not text or not text.isascii() or not text.isdecimal() or len(text) > math.log10(2**63):
        raise ValueError(f"'{name}' must be a whole number, not {str(text)[:20]!r}")
    return int(text)
