"""YOLO segmentation folders: data.yaml, and a text file for each frame with a polygon per object.

A line is ``CLASS X Y X Y ...``, with coordinates relative to the size of the frame. Ultralytics
trains on that, and appends the id of the track when it tracks (``save_txt=True``). Since it cannot
train on lines with an id, our ids are in files of their own: ``track_ids/`` beside ``labels/``.
"""

import re
import reprlib
from collections import Counter
from pathlib import Path

import numpy as np
import yaml  # type: ignore[import-untyped]

from ..errors import AnnotationError
from ..files import atomic_folder
from ..ops.outlines import single_polygon
from ..ops.rle import decode
from ..structures import RLE
from ..video.frame_files import natural_sort
from ..video.images import image_size
from .tracks import ToolAnnotations, ToolVideo, WriteOptions, check_size, list_frames, to_mask

NO_ID = "objects have no track id: each is a track of one frame"
_FRAME_OF_VIDEO = re.compile(r"(.*)_(\d{1,9})")


def write(annotations: ToolAnnotations, output: Path, options: WriteOptions) -> None:
    """Write a folder. ``options.masks`` is not possible: an object is one polygon."""
    if options.masks:
        raise AnnotationError("YOLO has no masks: leave --masks away")
    with atomic_folder(output) as partial:
        for video in annotations.videos:
            height, width = video.size
            tracks = list(enumerate(video.tracks.values(), start=1))
            for t, name in enumerate(video.file_names):
                lines, ids = [], []
                for number, track in tracks:
                    if t in track.masks:
                        polygon = single_polygon(decode(track.masks[t]), options.tolerance)
                        points = np.reshape(polygon, (-1, 2)) / (width, height)
                        texts = (f"{x:.7g}" for x in points.ravel())
                        label = annotations.categories.index(track.category)
                        lines.append(f"{label} {' '.join(texts)}\n")
                        ids.append(f"{number}\n")
                for folder, content in (("labels", lines), ("track_ids", ids)):
                    path = (partial / folder / name).with_suffix(".txt")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("x", encoding="utf-8") as file:
                        file.writelines(content)
        names = dict(enumerate(annotations.categories))
        data = {"path": ".", "train": "images", "val": "images", "names": names}
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        (partial / "data.yaml").write_text(text, encoding="utf-8")


def read(source: Path, frames: Path | None) -> ToolAnnotations:
    """Read a folder with ``data.yaml`` and ``labels``, which holds a folder for each video, or the
    files of ``yolo track save_txt=True``, VIDEO_1.txt, VIDEO_2.txt, ...

    Raises:
        AnnotationError: if it cannot be used.
    """
    if frames is None:
        raise AnnotationError("YOLO's files do not say how large frames are: add --frames FOLDER")
    categories = read_names(source / "data.yaml")
    labels = source / "labels" if (source / "labels").is_dir() else source
    paths: dict[str, dict[str, Path]] = {}
    for path in labels.rglob("*.txt"):
        folder, stem = path.parent.relative_to(labels).as_posix(), path.stem
        numbered = _FRAME_OF_VIDEO.fullmatch(stem)
        if folder == "." and numbered and (frames / numbered[1]).is_dir():
            # Counted from 1.
            folder, stem = numbered[1], f"#{int(numbered[2]) - 1}"
        paths.setdefault(folder, {})[stem] = path
    if not paths:
        raise AnnotationError(f"{labels} has no .txt")
    notes: Counter[str] = Counter()
    videos = []
    for folder in natural_sort(paths):
        names = list_frames(frames, folder)
        video = ToolVideo(folder, check_size(*image_size(frames / names[0])), names)
        index = {Path(name).stem: t for t, name in enumerate(names)}
        index |= {f"#{t}": t for t in range(len(names))}
        for stem, path in sorted(paths[folder].items()):
            if stem not in index:
                raise AnnotationError(f"{path}: there is no such frame in {frames}")
            ids_path = source / "track_ids" / path.relative_to(labels)
            for track_id, category, mask in read_frame(path, ids_path, video.size, categories):
                if mask is not None:
                    video.add(track_id, category, index[stem], mask)
                    notes[NO_ID] += track_id is None
        videos.append(video)
    return ToolAnnotations(list(dict.fromkeys(categories.values())), videos, +notes)


def read_names(path: Path) -> dict[int, str]:
    """The class names of ``data.yaml`` by number.

    Raises:
        AnnotationError: if it cannot be used.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        text = "write one with the names of the classes, such as 'names: {0: cat, 1: dog}'"
        raise AnnotationError(f"{path}: there is no such file: {text}") from error
    # yaml raises all kinds of exceptions for damaged files.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise AnnotationError(f"{path} is damaged") from error
    names = data.get("names") if isinstance(data, dict) else None
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not all(
        type(k) is int and isinstance(v, str) and len(v) < 1000 for k, v in names.items()
    ):
        raise AnnotationError(f"{path}: needs 'names', such as {{0: cat, 1: dog}}")
    return dict(sorted(names.items()))


def read_frame(
    path: Path, ids_path: Path, size: tuple[int, int], categories: dict[int, str]
) -> list[tuple[int | None, str, RLE | None]]:
    """The track id, category and mask of each line of a frame's file.

    Args:
        path: the file.
        ids_path: a file with the track ids, if there is one.
        size: (H, W) of the frame.
        categories: names by number.

    Raises:
        AnnotationError: naming the first line that is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        ids = ids_path.read_text(encoding="utf-8").split() if ids_path.is_file() else None
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not a text file") from error
    lines = [line for line in lines if line.strip()]
    if ids is not None and len(ids) != len(lines):
        raise AnnotationError(f"{ids_path} has {len(ids)} ids, but {path} {len(lines)} objects")
    found = []
    for i, line in enumerate(lines):
        label, *values = line.split()
        try:
            number = None
            if ids is not None:
                number = _to_id(ids[i])
            elif len(values) % 2:
                number = _to_id(values.pop())
            category = categories.get(_to_id(label))
            if category is None:
                raise ValueError(f"class {label} is not in data.yaml")
            if len(values) == 4:
                raise ValueError("is a box: only polygons are masks")
            points = _to_numbers(values).reshape(-1, 2)
            if not ((points > -1) & (points < 2)).all():
                raise ValueError(
                    "coordinates must be in 0..1; if the line has a confidence and a track id, "
                    "write it with save_conf=False"
                )
            found.append(
                (number, category, to_mask([(points * size[::-1]).ravel().tolist()], size))
            )
        except ValueError as error:
            raise AnnotationError(f"{path}, line {i + 1}: {error}") from error
    return found


def _to_numbers(texts: list[str]) -> np.ndarray:
    try:
        return np.array(texts, float)
    except ValueError as error:
        raise ValueError("coordinates must be numbers") from error


def _to_id(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise ValueError(f"a class or track id must be a whole number, not {reprlib.repr(text)}")
    return int(text)
