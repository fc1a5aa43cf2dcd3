"""Writing CVAT's xml: "CVAT for video 1.1", and "CVAT for images 1.1" for masks.

Format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ..errors import AnnotationError
from ..files import atomic_file, atomic_folder
from ..ops.outlines import part_polygons
from ..ops.rle import decode, decode_box
from .tracks import ToolAnnotations, ToolTrack, ToolVideo, WriteOptions


def write(annotations: ToolAnnotations, output: Path, options: WriteOptions) -> None:
    """Write an xml file, or for an output that does not end in .xml, a folder with one for each
    video.

    Polygons are written as tracks. CVAT has no mask tracks: masks are written as shapes, and the
    masks of an object have a group.
    """
    if output.suffix == ".xml":
        if len(annotations.videos) != 1:
            raise AnnotationError(
                f"--output {output}: a CVAT file holds one video, but there are "
                f"{len(annotations.videos)}: name a folder"
            )
        with atomic_file(output) as partial:
            _write_video(annotations, annotations.videos[0], partial, options)
        return
    names = [video.name.replace("/", "_") for video in annotations.videos]
    if len(set(names)) < len(names):
        raise AnnotationError(f"two videos have the name {Counter(names).most_common(1)[0][0]}")
    with atomic_folder(output) as partial:
        for name, video in zip(names, annotations.videos, strict=True):
            _write_video(annotations, video, partial / f"{name}.xml", options)


def _write_video(
    annotations: ToolAnnotations, video: ToolVideo, path: Path, options: WriteOptions
) -> None:
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    length = len(video.file_names)
    for name, text in (
        ("name", video.name),
        ("size", str(length)),
        ("mode", "interpolation"),
        ("start_frame", "0"),
        ("stop_frame", str(length - 1)),
        ("frame_filter", ""),
    ):
        SubElement(task, name).text = text
    labels = SubElement(task, "labels")
    for category in annotations.categories:
        SubElement(SubElement(labels, "label"), "name").text = category
    size = SubElement(task, "original_size")
    SubElement(size, "width").text, SubElement(size, "height").text = map(str, video.size[::-1])
    if options.masks:
        _add_images(root, video)
    else:
        for number, track in enumerate(video.tracks.values(), start=1):
            _add_polygon_tracks(root, track, number, length, options.tolerance)
    ElementTree.indent(root)
    try:
        ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except UnicodeEncodeError as error:
        raise AnnotationError(f"video {video.name}: a name is not valid Unicode") from error


def _add_polygon_tracks(
    root: Element, track: ToolTrack, number: int, length: int, tolerance: float
) -> None:
    """A track for each part of the object, since a polygon has one part. They have a group."""
    polygons = {t: part_polygons(decode(x), tolerance) for t, x in sorted(track.masks.items())}
    num_parts = max(map(len, polygons.values()), default=0)
    for part in range(num_parts):
        entry = SubElement(root, "track", id=str(len(root) - 2), label=track.category)
        entry.set("source", "auto")
        if num_parts > 1:
            entry.set("group_id", str(number))
        shown = {t: x[part] for t, x in polygons.items() if part < len(x)}
        for t, polygon in shown.items():
            _add_polygon(entry, t, polygon, outside=False)
            # Otherwise CVAT goes on with the last polygon.
            if t + 1 < length and t + 1 not in shown:
                _add_polygon(entry, t + 1, polygon, outside=True)


def _add_polygon(track: Element, frame: int, polygon: list[float], outside: bool) -> None:
    points = (f"{x:.2f},{y:.2f}" for x, y in zip(polygon[::2], polygon[1::2], strict=True))
    values = {"frame": str(frame), "keyframe": "1", "outside": str(int(outside))}
    values |= {"occluded": "0", "points": ";".join(points), "z_order": "0"}
    SubElement(track, "polygon", values)


def _add_images(root: Element, video: ToolVideo) -> None:
    height, width = map(str, video.size)
    for t, name in enumerate(video.file_names):
        image = SubElement(root, "image", id=str(t), name=name, width=width, height=height)
        for number, track in enumerate(video.tracks.values(), start=1):
            if t in track.masks:
                x0, y0, crop = decode_box(track.masks[t])
                box = {"left": x0, "top": y0, "width": crop.shape[1], "height": crop.shape[0]}
                values = {"label": track.category, "source": "auto", "occluded": "0"}
                values |= {k: str(v) for k, v in box.items()}
                values |= {"rle": ", ".join(map(str, _to_runs(crop)))}
                SubElement(image, "mask", {**values, "z_order": "0", "group_id": str(number)})


def _to_runs(crop: np.ndarray) -> list[int]:
    """Lengths of the runs of zeros and ones in turn, row by row."""
    ends = np.flatnonzero(np.diff(crop.ravel(), prepend=False)).tolist()
    return np.diff([0, *ends, crop.size]).tolist()
