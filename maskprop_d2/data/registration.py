"""Datasets in YouTube-VIS's format in Detectron2's catalog."""

from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..errors import AnnotationError
from ..ytvis.categories import MOVING_SHAPES, OVIS, YTVIS_2019, YTVIS_2021
from ..ytvis.layout import SPLITS, data_set_folder, find_split
from .records import load_ytvis_json

# Folder under ``$DETECTRON2_DATASETS``, categories (None: those in the file), splits.
BUILTIN_DATASETS: tuple[tuple[str, list[str] | None, tuple[str, ...]], ...] = (
    ("ytvis_2019", YTVIS_2019, tuple(SPLITS)),
    ("ytvis_2021", YTVIS_2021, tuple(SPLITS)),
    ("ytvis_2022", YTVIS_2021, ("val", "test")),
    ("lvvis", None, ("train", "val", "train_split", "val_split")),
    ("ovis", OVIS, tuple(SPLITS)),
    ("uvo", None, ("train", "val")),
    ("burst", None, ("train", "val", "test")),
    ("moving_shapes", MOVING_SHAPES, ("train", "val")),
    ("moving_shapes_hard", MOVING_SHAPES, ("train", "val")),
    ("moving_shapes_medium", MOVING_SHAPES, ("train", "val")),
    ("moving_shapes_hidden", MOVING_SHAPES, ("train", "val")),
)


def register_ytvis(
    name: str, json_file: str, image_root: str, thing_classes: list[str] | None = None
) -> None:
    """Register a dataset in YouTube-VIS's format.

    Args:
        name: the name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        json_file: annotation file, read when the dataset is first used.
        image_root: the folder that its file names are relative to.
        thing_classes: category names in the order of their ids; default: those in the file.

    Raises:
        AnnotationError: if another dataset has this name.
    """
    if name in DatasetCatalog:
        metadata = MetadataCatalog.get(name)
        if (metadata.get("json_file"), metadata.get("image_root")) == (json_file, image_root):
            return
        raise AnnotationError(f"there is already another dataset '{name}': choose another name")
    _register(name, lambda: (json_file, image_root), thing_classes)
    MetadataCatalog.get(name).set(json_file=json_file, image_root=image_root)


def _register_builtin(data_set: str, split: str, classes: list[str] | None) -> None:
    """Register a dataset under ``$DETECTRON2_DATASETS``, whose files are found when first used."""
    _register(f"{data_set}_{split}", lambda: find_split(data_set_folder(data_set), split), classes)


def _register(
    name: str, find: Callable[[], tuple[str, str]], thing_classes: list[str] | None
) -> None:
    metadata = MetadataCatalog.get(name)
    metadata.set(evaluator_type="ytvis")
    if thing_classes is not None:
        metadata.set(thing_classes=thing_classes)

    def load() -> list[dict[str, Any]]:
        json_file, image_root = find()
        metadata.set(json_file=json_file, image_root=image_root)
        return load_ytvis_json(json_file, image_root, name)

    DatasetCatalog.register(name, load)


# On import, as Detectron2 does for its own datasets.
for data_set, classes, splits in BUILTIN_DATASETS:
    for split in splits:
        if f"{data_set}_{split}" not in DatasetCatalog:
            _register_builtin(data_set, split, classes)
