"""Inputs for what reads annotations and scores results: datasets, BURST, cell tracks,
diagnosis, comparison."""

import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from maskprop_d2.errors import AnnotationError
from maskprop_d2.evaluation import evaluate
from maskprop_d2.evaluation.comparison import compare
from maskprop_d2.evaluation.diagnosis import diagnose
from maskprop_d2.evaluation.predictions import read_tracks
from maskprop_d2.ops.rle import encode
from maskprop_d2.ytvis import load_json

from .mutate import damage_json

SIZE = 20, 30
NAMES = ["v/0.jpg", "v/1.jpg", "v/2.jpg"]
CATEGORIES = [{"id": 4, "name": "cat"}, {"id": 7, "name": "dog"}]


def _masks(*rows: int | None) -> list[Any]:
    """A block of 6 x 20 pixels for each frame, at a row; None where it is not seen."""
    masks: list[Any] = []
    for row in rows:
        mask = np.zeros(SIZE, bool)
        mask[row : (row or 0) + 6, 5:25] = True
        masks.append(None if row is None else encode(mask))
    return masks


def _track(video_id: int, category_id: int, masks: list[Any], **more: Any) -> dict[str, Any]:
    ids = {"video_id": video_id, "category_id": category_id}
    return {**ids, "segmentations": masks, **more}


@cache
def _content() -> dict[str, Any]:
    """Two videos, and the results of two models with errors of several kinds."""
    size = {"height": SIZE[0], "width": SIZE[1]}
    truth = {
        "videos": [{"id": i, **size, "file_names": NAMES} for i in (1, 2)],
        "categories": CATEGORIES,
        "annotations": [
            _track(1, 4, _masks(1, 2, 3), id=1, iscrowd=0),
            _track(1, 7, _masks(12, None, 13), id=2, iscrowd=0),
            _track(2, 4, _masks(5, 5, None), id=3, iscrowd=0),
            _track(2, 7, _masks(13, 13, 13), id=4, iscrowd=1),
        ],
    }
    models = [
        [
            _track(1, 4, _masks(1, 12, 13), score=0.9),
            _track(1, 4, _masks(2, 3, 4), score=0.8),
            _track(2, 7, _masks(5, 5, 13), score=0.7),
        ],
        [_track(1, 7, _masks(12, 3, None), score=0.5), _track(2, 4, _masks(6, 13, 0), score=0.5)],
    ]
    return {"truth": truth, "models": models}


def make_scored(random: Random) -> bytes:
    """Annotations and the results of two models in one file."""
    return damage_json(random, _content())


def _read_scored(path: Path) -> tuple[Any, list[Any]]:
    data = load_json(path)
    models = data.get("models") if isinstance(data, dict) else None
    if not isinstance(models, list) or not models:
        raise AnnotationError(f"{path} has no results")
    return data.get("truth"), models


def read_diagnosis(path: Path) -> None:
    """Diagnose the first model."""
    truth, models = _read_scored(path)
    videos = read_tracks(truth, models[0], ("truth", "results"))
    diagnose(videos, sorted(x["id"] for x in truth["categories"]))


def read_comparison(path: Path) -> None:
    """Compare the models."""
    truth, models = _read_scored(path)
    metrics = {
        str(i): evaluate(truth, x, ("truth", "results"), hota=True) for i, x in enumerate(models)
    }
    compare(metrics, resamples=100)


def make_dataset(random: Random) -> bytes:
    """An annotation file as of LV-VIS and UVO, whose categories are those in the file."""
    return damage_json(random, _content()["truth"])


def read_dataset(path: Path) -> None:
    """Read the records for Detectron2."""
    from detectron2.data import MetadataCatalog

    from maskprop_d2.data.records import load_ytvis_json

    MetadataCatalog.pop("fuzzed", None)
    load_ytvis_json(str(path), "images", "fuzzed")


@cache
def _burst() -> dict[str, Any]:
    frames = [{"1": {"rle": x["counts"], "score": 1.0}} for x in _masks(1, 2)]
    sequence = {
        **{"id": 1, "dataset": "AVA", "seq_name": "v", "height": SIZE[0], "width": SIZE[1]},
        **{"annotated_image_paths": ["0.jpg", "1.jpg"], "track_category_ids": {"1": 4}},
        "segmentations": frames,
    }
    return {"sequences": [sequence], "categories": CATEGORIES, "split": "val"}


def make_burst(random: Random) -> bytes:
    """A file of BURST."""
    return damage_json(random, _burst())


def read_burst(path: Path) -> None:
    """Convert the file."""
    _find_converters()
    from convert_burst import convert

    convert(load_json(path), path)


CELL_TRACKS = b"1 0 30 0\n2 0 4 0\n3 5 38 2\n70 5 91 2\n"
"""A ``man_track.txt`` of the Cell Tracking Challenge."""


def read_cell_tracks(path: Path) -> None:
    """Read the tracks."""
    _find_converters()
    from ctc_files import read_tracks

    read_tracks(path)


def _find_converters() -> None:
    folder = str(Path(__file__).parents[2] / "datasets")
    if folder not in sys.path:
        sys.path.append(folder)
