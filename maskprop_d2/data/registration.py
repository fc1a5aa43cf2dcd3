"""Names of data sets: Detectron2's catalog entries for YouTube-VIS-like data."""

import os

from detectron2.data import DatasetCatalog, MetadataCatalog

from .categories import MOVING_SHAPES, YTVIS_2019
from .ytvis import load_ytvis_json


def register_ytvis(
    name: str, json_file: str, image_root: str, thing_classes: list[str] | None = None
) -> None:
    """Register a data set in YouTube-VIS's format, so that configs can name it.

    Args:
        name: the name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        json_file: its annotation file; read when the data set is first used.
        image_root: the folder that the file names in the json are relative to.
        thing_classes: category names, in the order of their ids, if they are known beforehand.
    """
    DatasetCatalog.register(name, lambda: load_ytvis_json(json_file, image_root, name))
    metadata = MetadataCatalog.get(name)
    metadata.set(json_file=json_file, image_root=image_root, evaluator_type="ytvis")
    if thing_classes is not None:
        metadata.set(thing_classes=thing_classes)


def register_builtin_datasets() -> None:
    """Register the data sets under ``$DETECTRON2_DATASETS`` (default ``datasets``)."""
    root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
    for dataset, classes, splits in (
        ("ytvis_2019", YTVIS_2019, ("train", "val", "test")),
        ("moving_shapes", MOVING_SHAPES, ("train", "val")),
        ("moving_shapes_hard", MOVING_SHAPES, ("train", "val")),
    ):
        for split in splits:
            name = f"{dataset}_{split}"
            if name in DatasetCatalog:
                continue
            stem = os.path.join(root, dataset, "valid" if split == "val" else split)
            register_ytvis(name, f"{stem}.json", os.path.join(stem, "JPEGImages"), classes)
