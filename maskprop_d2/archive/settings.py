"""What the outputs of a run depend on, besides its videos."""

import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import InputError
from ..video import Excerpt
from .storage import OutputFolder

PACKAGES = ("maskprop-d2", "torch", "torchvision", "numpy", "opencv-python", "av")
"""Packages whose versions are recorded."""
RECORD = "run.json"


@dataclass(frozen=True)
class Settings:
    """How each video is processed, and what is written.

    Attributes:
        model: a preset, exported model or config, as for ``load_model``; None to link detections.
        detections: where the detections of a video are, such as ``detections/{stem}.json``; None
            to run a model.
        weights, short_side: see ``ModelOptions``.
        tracker: tracking method (default: see ``ModelOptions``; "maskprop" for detections).
        categories: names of the categories to track (default: all).
        class_names: names of the categories of the detections (default: those in the files).
        score_threshold: drop detections scored below this.
        start, duration, stride: the part of each video, see ``Excerpt``.
        formats: formats of the tracks: "json" (YouTube-VIS), "parquet".
        id_masks: write a PNG per frame whose pixel values are ids.
        draw: write a video with the tracks drawn.
    """

    model: str | None = None
    detections: str | None = None
    weights: str | None = None
    short_side: int | None = None
    tracker: str | None = None
    categories: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    score_threshold: float | None = None
    start: float = 0.0
    duration: float | None = None
    stride: int = 1
    formats: tuple[str, ...] = ("json",)
    id_masks: bool = False
    draw: bool = False

    @property
    def excerpt(self) -> Excerpt:
        """The part of each video."""
        return Excerpt(self.start, self.duration, self.stride)

    def with_absolute_paths(self) -> "Settings":
        """The same settings from any working directory: files are named by absolute paths."""
        model, weights = (
            os.path.abspath(name) if name is not None and os.path.exists(name) else name
            for name in (self.model, self.weights)
        )
        return replace(self, model=model, weights=weights)


def record_run(settings: Settings, output: OutputFolder) -> None:
    """Write ``run.json``, unless a run with the same settings began to write to this folder.

    Raises:
        InputError: if the folder holds results of other settings.
    """
    record: dict[str, Any] = {
        "settings": json.loads(json.dumps(asdict(settings))),
        "sha256": _checksums(settings),
    }
    installed = {x.name: x.version for x in importlib.metadata.distributions()}
    versions = {name: installed.get(name) for name in PACKAGES}
    versions["python"] = platform.python_version()
    existing = output.create_json(RECORD, {**record, "versions": versions, "command": sys.argv})
    differing = [
        f"{key} {old.get(key)!r} instead of {new.get(key)!r}"
        for old, new in ((existing.get(name) or {}, record[name]) for name in record)
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if differing:
        raise InputError(
            f"{output.address} holds results of a run with {', '.join(differing)}: use the same "
            "settings to go on with it, or another --output"
        )


def _checksums(settings: Settings) -> dict[str, str]:
    if settings.model is None:
        return {}
    # Imported late because it takes time.
    from ..model_zoo.checksums import model_checksums

    return model_checksums(settings.model, settings.weights)
