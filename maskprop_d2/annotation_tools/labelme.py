"""labelme's json files, one for each frame; the ``group_id`` of a shape is its track."""

import base64
import binascii
import io
import json
import os
import reprlib
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from ..errors import AnnotationError
from ..files import atomic_folder
from ..ops.outlines import part_polygons
from ..ops.rle import decode, decode_box, encode
from ..structures import RLE
from ..video.frame_files import natural_sort
from ..ytvis import load_json
from .tracks import (
    ToolAnnotations,
    ToolVideo,
    WriteOptions,
    check_size,
    get_value,
    group_frames,
    quote,
    to_mask,
)

NO_ID = "shapes have no group_id: each is a track of one frame"


def write(annotations: ToolAnnotations, output: Path, options: WriteOptions) -> None:
    """Write a folder with a json file for each frame, at the place of the frame in its folder.
    Without ``options.frames``, the files point to images beside them."""
    with atomic_folder(output) as partial:
        for video in annotations.videos:
            for t, name in enumerate(video.file_names):
                path = Path(name).with_suffix(".json")
                image = Path(name).name
                if options.frames is not None:
                    image = os.path.relpath(options.frames / name, (output / path).parent)
                shapes = [
                    {"label": track.category, "group_id": number, "flags": {}, **shape}
                    for number, track in enumerate(video.tracks.values(), start=1)
                    if t in track.masks
                    for shape in _shapes(track.masks[t], options)
                ]
                data: dict[str, Any] = {
                    "version": "5.5.0",
                    "flags": {},
                    "shapes": shapes,
                    "imagePath": image,
                    "imageData": None,
                    "imageHeight": video.size[0],
                    "imageWidth": video.size[1],
                }
                (partial / path).parent.mkdir(parents=True, exist_ok=True)
                with (partial / path).open("x", encoding="utf-8") as file:
                    json.dump(data, file)


def _shapes(mask: RLE, options: WriteOptions) -> list[dict[str, Any]]:
    """One mask, or a polygon for each part."""
    if not options.masks:
        polygons = part_polygons(decode(mask), options.tolerance)
        points = [np.reshape(x, (-1, 2)).tolist() for x in polygons]
        return [{"shape_type": "polygon", "points": x, "mask": None} for x in points]
    x0, y0, crop = decode_box(mask)
    file = io.BytesIO()
    Image.fromarray(crop.astype(np.uint8) * 255).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    corners = [[x0, y0], [x0 + crop.shape[1] - 1, y0 + crop.shape[0] - 1]]
    return [{"shape_type": "mask", "points": corners, "mask": text}]


def read(source: Path, frames: Path | None) -> ToolAnnotations:
    """Read a folder of json files, or of folders with the json files of a video each. Frames
    without a json file are not annotated, and are left out.

    Raises:
        AnnotationError: if one cannot be used.
    """
    files = {str(x.relative_to(source)): load_json(x) for x in sorted(source.rglob("*.json"))}
    if not files:
        raise AnnotationError(f"{source} must be a folder with the json files of labelme")
    file_of_frame: dict[str, str] = {}
    for name, data in files.items():
        try:
            image = PureWindowsPath(get_value(data, "imagePath", str)).name
            get_value(data, "shapes", list)
        except ValueError as error:
            raise AnnotationError(f"{source / name} is no file of labelme: {error}") from error
        frame = (Path(name).parent / image).as_posix()
        if frame in file_of_frame:
            raise AnnotationError(f"{source / name} and {file_of_frame[frame]} are of one image")
        file_of_frame[frame] = name
    annotations = ToolAnnotations([], [])
    for folder, names in group_frames(list(file_of_frame)).items():
        annotations.videos.append(
            read_video(folder, {x: files[file_of_frame[x]] for x in names}, annotations, source)
        )
    labels = {track.category for video in annotations.videos for track in video.tracks.values()}
    annotations.categories = natural_sort(labels)
    return annotations


def read_video(
    name: str, files: dict[str, Any], annotations: ToolAnnotations, source: Path
) -> ToolVideo:
    """Read a video.

    Args:
        name: of the video.
        files: the content of its json files by the name of the frame.
        annotations: gets notes.
        source: the folder, for messages.

    Raises:
        AnnotationError: if a file cannot be used.
    """
    video: ToolVideo | None = None
    for t, (frame, data) in enumerate(files.items()):
        try:
            size = check_size(data.get("imageHeight"), data.get("imageWidth"))
            video = video or ToolVideo(name, size, list(files))
            if size != video.size:
                raise ValueError("the frames of a video must have the same size")
            for shape in data["shapes"]:
                kind = get_value(shape, "shape_type", str)
                if kind not in ("polygon", "mask"):
                    text = f"shapes that are no masks were ignored ({reprlib.repr(kind)})"
                    annotations.notes[text] += 1
                    continue
                mask = _read_polygon(shape, size) if kind == "polygon" else _read_mask(shape, size)
                group = shape.get("group_id")
                if group is not None and type(group) is not int:
                    raise ValueError(
                        f"'group_id' must be a whole number, not {reprlib.repr(group)}"
                    )
                if mask is not None:
                    video.add(group, get_value(shape, "label", str), t, mask)
                    annotations.notes[NO_ID] += group is None
        except ValueError as error:
            raise AnnotationError(f"{source}: the file of {quote(frame)}: {error}") from error
    annotations.notes = +annotations.notes
    assert video is not None
    return video


def _read_polygon(shape: Any, size: tuple[int, int]) -> RLE | None:
    points = get_value(shape, "points", list)
    if not all(isinstance(x, list) and len(x) == 2 for x in points):
        raise ValueError("'points' must be a list of [x, y]")
    return to_mask([[value for point in points for value in point]], size)


def _read_mask(shape: Any, size: tuple[int, int]) -> RLE | None:
    """The PNG of a mask, at its upper left corner. labelme cuts off what is outside the frame."""
    corner = (get_value(shape, "points", list) or [None])[0]
    if not (isinstance(corner, list) and len(corner) == 2 and all(map(_is_place, corner))):
        raise ValueError("the first of a mask's 'points' must be its upper left corner")
    x0, y0 = map(int, corner)
    try:
        png = base64.b64decode(get_value(shape, "mask", str), validate=True)
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width + x0 > size[1] or image.height + y0 > size[0]:
                raise ValueError("a mask reaches out of the frame")
            crop = np.asarray(image.convert("L")) > 0
    except (binascii.Error, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("a mask is not a PNG in base64") from error
    mask = np.zeros(size, bool)
    mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    return encode(mask) if mask.any() else None


def _is_place(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < 2**15
