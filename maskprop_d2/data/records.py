"""Records of videos: YouTube-VIS annotations, and images as videos of one frame."""

import os
from typing import Any

from detectron2.data import MetadataCatalog

from ..errors import AnnotationError
from ..ops.rle import is_absent
from ..ytvis import check_ground_truth, load_json
from ..ytvis.checks import escapes_folder


def load_ytvis_json(json_file: str, image_root: str, dataset_name: str) -> list[dict[str, Any]]:
    """Read an annotation file, and set the categories in Detectron2's metadata.

    Args:
        json_file: annotations in YouTube-VIS's format.
        image_root: the folder that its ``file_names`` are relative to.
        dataset_name: the registered name of the dataset.

    Returns:
        a record per video with ``video_id``, ``height``, ``width``, ``length``, ``file_names``
        (full paths) and ``annotations``: for each frame a list of dicts with ``id`` of the object,
        ``category_id`` (contiguous, from 0), ``iscrowd`` and ``segmentation`` as in the file (RLE
        or polygons), only of the objects visible in that frame.

    Raises:
        AnnotationError: if the file is missing or invalid, has other categories than registered, or
            file names outside ``image_root``.
    """
    data = load_json(json_file)
    check_ground_truth(data, json_file)
    categories = sorted(data["categories"], key=lambda x: x["id"])
    contiguous_ids = {category["id"]: i for i, category in enumerate(categories)}
    thing_classes = [category["name"] for category in categories]
    metadata = MetadataCatalog.get(dataset_name)
    expected = list(metadata.get("thing_classes", thing_classes))
    if expected != thing_classes:
        raise AnnotationError(
            f"{json_file} has the categories {thing_classes}, but '{dataset_name}' is registered "
            f"with {expected}: register the file under another name (register_ytvis)"
        )
    metadata.set(thing_classes=thing_classes, thing_dataset_id_to_contiguous_id=contiguous_ids)

    for video in data["videos"]:
        for name in filter(escapes_folder, video["file_names"]):
            where = f"{json_file}: video {video['id']}"
            raise AnnotationError(
                f"{where}: the file name {name!r} leads out of the frames' folder"
            )
    records = {
        video["id"]: {
            "video_id": video["id"],
            "height": video["height"],
            "width": video["width"],
            "length": len(video["file_names"]),
            "file_names": [os.path.join(image_root, name) for name in video["file_names"]],
            "annotations": [[] for _ in video["file_names"]],
        }
        for video in data["videos"]
    }
    for annotation in data.get("annotations") or []:
        frames = records[annotation["video_id"]]["annotations"]
        for frame, segmentation in zip(frames, annotation["segmentations"], strict=True):
            if not is_absent(segmentation):
                frame.append(
                    {
                        "id": annotation["id"],
                        "category_id": contiguous_ids[annotation["category_id"]],
                        "iscrowd": annotation.get("iscrowd", 0),
                        "segmentation": segmentation,
                    }
                )
    return list(records.values())


def is_image(record: dict[str, Any]) -> bool:
    """Whether a record is one of Detectron2's records of images, not of a video."""
    return "file_names" not in record


def image_as_video(record: dict[str, Any], dataset_name: str) -> dict[str, Any]:
    """The record of a video of one frame.

    Args:
        record: Detectron2's record of an image.
        dataset_name: the name of its dataset, for the message.

    Returns:
        a record as of ``load_ytvis_json``, without the objects that have no mask. If the image has
        a semantic map, the record also has ``sem_seg_file_names``.

    Raises:
        AnnotationError: if the record lacks the file name or the size.
    """
    missing = [key for key in ("file_name", "height", "width") if key not in record]
    if missing:
        raise AnnotationError(
            f"'{dataset_name}' has an image without {' and '.join(missing)}: "
            f"{record.get('file_name', record.get('image_id'))}"
        )
    annotations = [
        {
            "id": i,
            "category_id": x["category_id"],
            "iscrowd": x.get("iscrowd", 0),
            "segmentation": x["segmentation"],
        }
        for i, x in enumerate(record.get("annotations", []))
        if x.get("segmentation")
    ]
    video = {
        "video_id": record.get("image_id", record["file_name"]),
        "height": record["height"],
        "width": record["width"],
        "length": 1,
        "file_names": [record["file_name"]],
        "annotations": [annotations],
    }
    if "sem_seg_file_name" in record:
        video["sem_seg_file_names"] = [record["sem_seg_file_name"]]
    return video
