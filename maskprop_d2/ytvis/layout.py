"""Finding the annotation files and images of a dataset in the released layouts and in those of
other code."""

import os
from pathlib import Path

from ..errors import AnnotationError

# For each split, the values of {split} in the names of the annotation file and the image folder.
SPLITS = {
    "train": (("train",), ("train",)),
    "val": (("valid", "val"), ("valid", "val")),
    "test": (("test",), ("test",)),
    # Parts of the training videos, made by datasets/split_ytvis.py.
    "train_split": (("train_split",), ("train",)),
    "val_split": (("val_split",), ("train",)),
}
# In order of priority.
JSON_FILES = (
    # OVIS: the annotated validation set comes before the one without annotations.
    "{split}GT.json",
    "annotations/{split}GT.json",
    "{split}.json",
    "{split}/instances.json",  # YouTube-VIS 2021
    "annotations_{split}.json",  # OVIS
    "annotations/{split}.json",
    "annotations/instances_{split}.json",
    "annotations/instances_{split}_sub.json",  # MaskTrack R-CNN, VisTR, VNext
    "annotations/annotations_{split}.json",
    "{split}_instances.json",  # LV-VIS
    "annotations/{split}_instances.json",
    "Annotations/{split}_instances.json",
    # UVO: with the categories of COCO, and with one category.
    "VideoDenseSet/UVO_video_{split}_dense_with_label.json",
    "VideoDenseSet/UVO_video_{split}_dense.json",
)
IMAGE_FOLDERS = (
    "{split}/JPEGImages",
    "{split}_all_frames/JPEGImages",
    "JPEGImages/{split}",
    "Images/{split}",
    "{split}",  # OVIS
    "frames/{split}",  # BURST: the frames of TAO
    "uvo_videos_dense_frames",  # UVO: all splits
)


def data_set_folder(data_set: str) -> Path:
    """The folder of a dataset in ``$DETECTRON2_DATASETS`` (default ``datasets``)."""
    return Path(os.getenv("DETECTRON2_DATASETS", "datasets")).expanduser() / data_set


def find_split(folder: Path, split: str) -> tuple[str, str]:
    """Find the annotation file and the image folder of a split, a key of ``SPLITS``, in a dataset.

    Raises:
        AnnotationError: with the names that were tried and what the folder holds.
    """
    json_names, image_names = SPLITS[split]
    json_files = [pattern.format(split=x) for pattern in JSON_FILES for x in json_names]
    image_folders = [pattern.format(split=x) for pattern in IMAGE_FOLDERS for x in image_names]
    json_file = next((x for x in json_files if (folder / x).is_file()), None)
    if json_file is None:
        hint = " (datasets/split_ytvis.py makes it)" if split.endswith("_split") else ""
        raise AnnotationError(_message(folder, f"the '{split}' annotations{hint}", json_files))
    image_root = next((x for x in image_folders if (folder / x).is_dir()), None)
    if image_root is None:
        raise AnnotationError(_message(folder, f"the images of {json_file}", image_folders))
    return str(folder / json_file), str(folder / image_root)


def _message(folder: Path, missing: str, tried: list[str]) -> str:
    if folder.is_dir():
        names = sorted(x.name + "/" * x.is_dir() for x in folder.iterdir())
        found = "the folder holds " + (", ".join(names[:20]) or "nothing")
        found += f" and {len(names) - 20} more" if len(names) > 20 else ""
    else:
        found = "there is no such folder"
    return (
        f"{folder} does not hold {missing}: looked for {', '.join(tried)}, but {found}. See "
        "datasets/README.md; set DETECTRON2_DATASETS if the datasets are elsewhere"
    )
