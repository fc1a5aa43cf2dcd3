"""COCO's annotation format with track ids, as CVAT and datumaro export it."""

from collections import Counter
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from ..errors import AnnotationError
from ..ops.outlines import part_polygons
from ..ops.rle import decode
from ..ytvis import load_json
from ..ytvis.checks import is_id
from ..ytvis.writing import write_json_files
from .tracks import (
    ToolAnnotations,
    ToolVideo,
    WriteOptions,
    check_size,
    get_value,
    group_frames,
    quote,
    to_mask,
    video_name,
)

NO_ID = "masks have no 'track_id': each is a track of one frame"


def write(annotations: ToolAnnotations, output: Path, options: WriteOptions) -> None:
    """Write one json file. ``track_id`` is given twice: in the annotation itself, and in its
    ``attributes``, as CVAT writes it."""
    images: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for video in annotations.videos:
        height, width = video.size
        first = len(images)
        images += [
            {"id": first + t, "file_name": name, "height": height, "width": width}
            for t, name in enumerate(video.file_names, start=1)
        ]
        for track_id, track in enumerate(video.tracks.values(), start=1):
            for t, mask in sorted(track.masks.items()):
                shape: Any = mask
                if not options.masks:
                    shape = part_polygons(decode(mask), options.tolerance)
                entries.append(
                    {
                        "id": len(entries) + 1,
                        "image_id": first + t + 1,
                        "category_id": annotations.categories.index(track.category) + 1,
                        "segmentation": shape,
                        "area": int(coco_mask.area(mask)),
                        "bbox": coco_mask.toBbox(mask).tolist(),
                        "iscrowd": 0,
                        "track_id": track_id,
                        "attributes": {"track_id": track_id},
                    }
                )
    categories = [{"id": i, "name": x} for i, x in enumerate(annotations.categories, start=1)]
    write_json_files({output: {"images": images, "categories": categories, "annotations": entries}})


def read(source: Path, frames: Path | None) -> ToolAnnotations:
    """Read a json file. A video is a folder of images; their names are in the file.

    Raises:
        AnnotationError: if it cannot be used.
    """
    data = load_json(source)
    try:
        images, categories, entries = (
            get_value(data, key, list) for key in ("images", "categories", "annotations")
        )
        names = {get_value(x, "id", int): get_value(x, "name", str) for x in categories}
        frame_of_image, videos = _read_images(images)
    except ValueError as error:
        raise AnnotationError(f"{source}: {error}") from error
    notes: Counter[str] = Counter()
    for i, entry in enumerate(entries):
        try:
            image_id = get_value(entry, "image_id", int)
            category = get_value(entry, "category_id", int)
            if image_id not in frame_of_image or category not in names:
                raise ValueError("its image or category is not in the file")
            video_folder, t = frame_of_image[image_id]
            video = videos[video_folder]
            mask = to_mask(entry.get("segmentation"), video.size)
            track_id = _track_id(entry)
        except ValueError as error:
            raise AnnotationError(f"{source}: annotation {i}: {error}") from error
        if mask is not None:
            video.add(track_id, names[category], t, mask)
            notes[NO_ID] += track_id is None
    ordered = [names[x] for x in sorted(names)]
    return ToolAnnotations(list(dict.fromkeys(ordered)), list(videos.values()), +notes)


def _read_images(
    images: list[Any],
) -> tuple[dict[int, tuple[str, int]], dict[str, ToolVideo]]:
    """The video and frame index of each image id, and the videos by folder."""
    ids = {get_value(x, "file_name", str): get_value(x, "id", int) for x in images}
    sizes = {x["file_name"]: check_size(x.get("height"), x.get("width")) for x in images}
    if len(set(ids.values())) < len(images):
        raise ValueError("two images have the same id or 'file_name'")
    frame_of_image, videos = {}, {}
    for folder, names in group_frames(list(ids)).items():
        size = sizes[names[0]]
        for t, name in enumerate(names):
            if sizes[name] != size:
                both = f"{quote(names[0])} and {quote(name)}"
                raise ValueError(f"{both} have different sizes, but are of one video")
            frame_of_image[ids[name]] = video_name(name), t
        videos[folder] = ToolVideo(folder, size, names)
    return frame_of_image, videos


def _track_id(entry: dict[str, Any]) -> int | None:
    """``track_id``, ``instance_id`` or ``attributes.track_id``; None if there is none."""
    attributes = entry.get("attributes")
    places = [entry.get("track_id"), entry.get("instance_id")]
    places += [attributes.get("track_id")] if isinstance(attributes, dict) else []
    found = next((x for x in places if x is not None), None)
    if found is not None and not is_id(found):
        raise ValueError(f"'track_id' must be a whole number, not {str(found)[:50]!r}")
    return found
