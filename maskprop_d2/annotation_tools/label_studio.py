"""Label Studio's json: a task for each frame, with polygons or brush masks.

Its video tag has boxes only. The track of a region is written into the region's note ("meta"),
which can be seen and changed in Label Studio: ``track 3``.
"""

import json
import re
import reprlib
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse
from urllib.parse import quote as urlquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ..errors import AnnotationError
from ..files import atomic_folder
from ..ops.outlines import part_polygons
from ..ops.rle import decode, encode
from ..structures import RLE
from ..video.frame_files import natural_sort
from ..ytvis import load_json
from .brush_rle import decode_brush, encode_brush
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

NO_ID = "regions have no note 'track N': each is a track of one frame"
LABELS = {"polygonlabels": "PolygonLabels", "brushlabels": "BrushLabels"}
_TRACK = re.compile(r"track (\d{1,15})")


def write(annotations: ToolAnnotations, output: Path, options: WriteOptions) -> None:
    """Write a folder with ``tasks.json`` and the labelling interface ``config.xml``."""
    kind = "brushlabels" if options.masks else "polygonlabels"
    tasks = []
    for video in annotations.videos:
        for t, name in enumerate(video.file_names):
            regions = [
                {"id": f"track_{number}_{part}", "meta": {"text": [f"track {number}"]}, **region}
                for number, track in enumerate(video.tracks.values(), start=1)
                if t in track.masks
                for part, region in enumerate(
                    _regions(track.masks[t], track.category, kind, options.tolerance)
                )
            ]
            # The address of local files, relative to LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
            data: dict[str, Any] = {
                "image": f"/data/local-files/?d={urlquote(name)}",
                "file_name": name,
            }
            data["height"], data["width"] = video.size
            tasks.append({"data": data, "predictions": [{"result": regions}]})
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image", zoom="true")
    labels = SubElement(view, LABELS[kind], name="label", toName="image")
    for category in annotations.categories:
        SubElement(labels, "Label", value=category)
    ElementTree.indent(view)
    with atomic_folder(output) as partial:
        (partial / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
        text = ElementTree.tostring(view, encoding="unicode")
        (partial / "config.xml").write_text(text + "\n", encoding="utf-8")


def _regions(mask: RLE, category: str, kind: str, tolerance: float) -> list[dict[str, Any]]:
    """One brush mask, or a polygon for each part."""
    height, width = mask["size"]
    values: list[dict[str, Any]]
    if kind == "brushlabels":
        values = [{"format": "rle", "rle": encode_brush(decode(mask))}]
    else:
        polygons = part_polygons(decode(mask), tolerance)
        percent = [np.reshape(x, (-1, 2)) * 100 / (width, height) for x in polygons]
        values = [{"points": x.tolist(), "closed": True} for x in percent]
    return [
        {
            "type": kind,
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {**value, kind: [category]},
        }
        for value in values
    ]


def read(source: Path, frames: Path | None) -> ToolAnnotations:
    """Read a json export, or the tasks that ``write`` made. Of a task, the first annotation counts,
    or the first prediction if there is none. A task with neither is left out.

    Raises:
        AnnotationError: if it cannot be used.
    """
    tasks = load_json(source / "tasks.json" if source.is_dir() else source)
    if not isinstance(tasks, list):
        raise AnnotationError(f"{source}: must be a list of tasks (export as JSON)")
    notes: Counter[str] = Counter()
    results: dict[str, tuple[list[Any], tuple[int, int] | None]] = {}
    for i, task in enumerate(tasks):
        try:
            data = get_value(task, "data", dict)
            name = _file_name(data)
            if name in results:
                raise ValueError(f"there is another task of {quote(name)}")
            found = _choose_result(task, notes)
            if found is not None:
                results[name] = found, _frame_size(data, found)
        except ValueError as error:
            raise AnnotationError(f"{source}: task {i}: {error}") from error
    videos = []
    for folder, names in group_frames(list(results)).items():
        size = next((x for x in (results[name][1] for name in names) if x), None)
        if size is None:
            notes["videos have no region and are left out"] += 1
            continue
        videos.append(ToolVideo(folder, size, names))
        for t, name in enumerate(names):
            for region in results[name][0]:
                try:
                    _add_region(videos[-1], t, region, notes)
                except ValueError as error:
                    raise AnnotationError(f"{source}: frame {quote(name)}: {error}") from error
    labels = {track.category for video in videos for track in video.tracks.values()}
    return ToolAnnotations(natural_sort(labels), videos, +notes)


def _file_name(data: dict[str, Any]) -> str:
    """The name of a task's frame: what ``write`` noted, or else the folder and name of its image's
    address."""
    if "file_name" in data:
        return get_value(data, "file_name", str)
    address = urlparse(get_value(data, "image", str))
    path = parse_qs(address.query).get("d", [unquote(address.path)])[0]
    return "/".join(path.strip("/").split("/")[-2:])


def _choose_result(task: dict[str, Any], notes: Counter[str]) -> list[Any] | None:
    """The regions of the annotation or prediction that counts."""
    for key in ("annotations", "predictions"):
        found = task.get(key) or []
        if not isinstance(found, list):
            raise ValueError(f"'{key}' must be a list")
        done = [x for x in found if isinstance(x, dict) and not x.get("was_cancelled")]
        if done:
            if key == "predictions":
                notes["tasks have no annotation: their predictions are used"] += 1
            return get_value(done[0], "result", list)
    notes["tasks have neither an annotation nor a prediction, and are left out"] += 1
    return None


def _frame_size(data: dict[str, Any], regions: list[Any]) -> tuple[int, int] | None:
    """(H, W) of a task's frame: what ``write`` noted, or else that of a region."""
    if "height" in data:
        return check_size(data["height"], data.get("width"))
    region = next((x for x in regions if isinstance(x, dict) and "original_height" in x), None)
    if region is None:
        return None
    return check_size(region["original_height"], region.get("original_width"))


def _add_region(video: ToolVideo, frame: int, region: Any, notes: Counter[str]) -> None:
    kind = get_value(region, "type", str)
    if kind not in LABELS:
        notes[f"regions that are no masks were ignored ({reprlib.repr(kind)})"] += 1
        return
    size = check_size(region.get("original_height"), region.get("original_width"))
    if size != video.size:
        raise ValueError("the frames of a video must have the same size")
    value = get_value(region, "value", dict)
    labels = get_value(value, kind, list)
    if len(labels) != 1 or not isinstance(labels[0], str):
        raise ValueError(f"a region must have one label, not {reprlib.repr(labels)}")
    mask: RLE | None = None
    if kind == "polygonlabels":
        points = get_value(value, "points", list)
        if not all(isinstance(x, list) and len(x) == 2 and all(map(_is_number, x)) for x in points):
            raise ValueError("'points' must be a list of [x, y]")
        scaled = np.reshape(points, (-1, 2)) * np.array(size[::-1]) / 100
        mask = to_mask([scaled.ravel().tolist()], size)
    else:
        pixels = decode_brush(get_value(value, "rle", list), size)
        mask = encode(pixels) if pixels.any() else None
    if mask is not None:
        track_id = _track_id(region)
        video.add(track_id, labels[0], frame, mask)
        notes[NO_ID] += track_id is None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e5


def _track_id(region: dict[str, Any]) -> int | None:
    """The number in a region's note."""
    meta = region.get("meta")
    texts = meta.get("text") if isinstance(meta, dict) else None
    for text in texts if isinstance(texts, list) else [texts]:
        if isinstance(text, str) and (found := _TRACK.fullmatch(text.strip().lower())):
            return int(found[1])
    return None
