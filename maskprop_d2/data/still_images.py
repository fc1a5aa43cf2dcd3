"""Still images as training data: records of images as videos of one frame."""

from typing import Any

from ..errors import AnnotationError


def is_image(record: dict[str, Any]) -> bool:
    """Whether a record is of an image, as Detectron2's own data sets have them, not of a video."""
    return "file_names" not in record


def image_as_video(record: dict[str, Any], dataset_name: str) -> dict[str, Any]:
    """
    Args:
        record: Detectron2's, of an image.
        dataset_name: the name of its data set, for the message.

    Returns:
        a record like those of ``load_ytvis_json``, of one frame. Objects without a mask are left
        out. Where the image has a map of semantic classes, the record also has
        ``sem_seg_file_names``.

    Raises:
        AnnotationError: if the record does not say where the image is or how large.
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
