"""Reading YouTube-VIS json files into records, one a video."""

import json
import os
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog


class AnnotationFileError(ValueError):
    """An annotation file that cannot be used; the message says where and why."""


def load_ytvis_json(json_file: str, image_root: str, dataset_name: str) -> list[dict[str, Any]]:
    """Read an annotation file and tell Detectron2's metadata its categories.

    Args:
        json_file: annotations in YouTube-VIS's format.
        image_root: the folder that its ``file_names`` are relative to.
        dataset_name: the name under which the data set is registered.

    Returns:
        a record a video, with ``video_id``, ``height``, ``width``, ``length``, ``file_names``
        (whole paths) and ``annotations``: for each frame a list of dicts with ``id`` of the
        object, ``category_id`` (contiguous, from 0), ``iscrowd`` and ``segmentation`` as the
        file has it (RLE or polygons), only of objects seen in that frame.

    Raises:
        AnnotationFileError: if the file is missing or not in that format.
    """
    data = _read_json(json_file)
    categories = sorted(_entries(data, "categories", json_file), key=lambda x: x["id"])
    contiguous_ids = {category["id"]: i for i, category in enumerate(categories)}
    _set_metadata(dataset_name, json_file, [c["name"] for c in categories], contiguous_ids)

    records = {}
    for video in _entries(data, "videos", json_file):
        where = f"{json_file}: video {video.get('id')}"
        try:
            file_names = [os.path.join(image_root, name) for name in video["file_names"]]
            records[video["id"]] = {
                "video_id": video["id"],
                "height": int(video["height"]),
                "width": int(video["width"]),
                "length": len(file_names),
                "file_names": file_names,
                "annotations": [[] for _ in file_names],
            }
        except (KeyError, TypeError, ValueError) as error:
            raise AnnotationFileError(
                f"{where} needs id, height, width and file_names: {error!r}"
            ) from error
    for annotation in _entries(data, "annotations", json_file, required=False):
        _add_annotation(annotation, records, contiguous_ids, json_file)
    return list(records.values())


def _read_json(json_file: str) -> Any:
    try:
        return json.loads(Path(json_file).read_text())
    except OSError as error:
        raise AnnotationFileError(
            f"{json_file} cannot be read ({error.strerror}): see datasets/README.md for where "
            f"data sets are expected, and set DETECTRON2_DATASETS if they are elsewhere"
        ) from error
    except ValueError as error:
        raise AnnotationFileError(f"{json_file} is not a whole json file: {error}") from error


def _entries(data: Any, key: str, json_file: str, required: bool = True) -> list[dict[str, Any]]:
    """The list of objects under a top-level key."""
    entries = data.get(key) if isinstance(data, dict) else None
    if entries is None and not required and isinstance(data, dict):
        return []
    if not isinstance(entries, list) or not all(isinstance(x, dict) and "id" in x for x in entries):
        raise AnnotationFileError(
            f"{json_file}: '{key}' must be a list of objects with an id, as in YouTube-VIS's format"
        )
    return entries


def _set_metadata(
    dataset_name: str, json_file: str, thing_classes: list[str], contiguous_ids: dict[int, int]
) -> None:
    metadata = MetadataCatalog.get(dataset_name)
    expected = metadata.get("thing_classes")
    if expected is not None and list(expected) != thing_classes:
        raise AnnotationFileError(
            f"{json_file} has the categories {thing_classes}, but '{dataset_name}' is registered "
            f"with {list(expected)}: register it under a name of its own (register_ytvis)"
        )
    metadata.set(
        thing_classes=thing_classes, thing_dataset_id_to_contiguous_id=dict(contiguous_ids)
    )


def _add_annotation(
    annotation: dict[str, Any],
    records: dict[int, dict[str, Any]],
    contiguous_ids: dict[int, int],
    json_file: str,
) -> None:
    """Put the frames in which an object is seen into its video's record."""
    where = f"{json_file}: annotation {annotation['id']}"
    record = records.get(annotation.get("video_id"))
    if record is None:
        raise AnnotationFileError(f"{where} is of unknown video {annotation.get('video_id')}")
    category_id = contiguous_ids.get(annotation.get("category_id"))
    if category_id is None:
        raise AnnotationFileError(f"{where} has unknown category {annotation.get('category_id')}")
    segmentations = annotation.get("segmentations")
    if not isinstance(segmentations, list) or len(segmentations) != record["length"]:
        raise AnnotationFileError(
            f"{where} needs 'segmentations' with one entry (or null) for each of the "
            f"{record['length']} frames of video {record['video_id']}"
        )
    for frame_annotations, segmentation in zip(record["annotations"], segmentations, strict=True):
        if segmentation is not None:
            frame_annotations.append(
                {
                    "id": annotation["id"],
                    "category_id": category_id,
                    "iscrowd": annotation.get("iscrowd", 0),
                    "segmentation": segmentation,
                }
            )
