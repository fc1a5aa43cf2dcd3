"""Building models with trained weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..devices import choose_device
from ..errors import ConfigError, FetchError
from ..inference import VideoSegmenter
from ..inference.image_detector import MAX_SIDE, SHORT_SIDE, category_indices
from ..inference.linking import DEFAULT_TRACKER, link_detector
from ..inference.torchvision_detector import TorchvisionDetector
from .fetching import check_weights_file, fetch_weights, has_detectron2, local_path
from .presets import PRESETS, Preset, find_preset, get_config_file, get_preset

SCORE_THRESHOLD = 0.5
"""Detections of image detectors are dropped below this by default."""


def default_preset() -> Preset:
    """The best preset of real objects that this machine can run in reasonable time.

    On a GPU that is the highest mask AP. On a CPU it is the fastest: Detectron2's Mask R-CNN with
    ResNet-50, or torchvision's where Detectron2 is not installed.
    """
    if torch.cuda.is_available():
        return PRESETS["maskrcnn_resnet50_fpn_v2"]
    return PRESETS["mask_rcnn_R_50_FPN_3x" if has_detectron2() else "maskrcnn_resnet50_fpn"]


def get_weights(preset: Preset, weights: str | Path | None = None) -> Path:
    """The file with a preset's weights.

    Args:
        preset: the model.
        weights: a copy of its weights, or others (default: fetched on first use). A file with the
            name of the published one is compared with its checksum.

    Raises:
        FetchError: if there is no such file, they cannot be fetched, or the checksum is wrong.
    """
    if weights is None:
        return fetch_weights(preset)
    path = Path(weights)
    if not path.is_file():
        raise FetchError(f"{path}: there is no such file of weights for {preset.name}")
    if path.name == local_path(preset).name:
        check_weights_file(path, preset)
    return path


@dataclass(frozen=True)
class ModelOptions:
    """How a model runs.

    Attributes:
        weights: weights of a preset or config (default: fetched for a preset, ``MODEL.WEIGHTS`` of
            a config).
        score_threshold: drop detections scored below this (default: 0.5 for image detectors, that
            of the model for MaskProp models).
        categories: names of the categories to track (default: all).
        short_side: resize frames to this short side in pixels; smaller is faster, but misses small
            objects (default: 800 for presets that are image detectors, that of the model for
            others).
        tracker: tracking method (default: that of ``link`` for image detectors, that of the model
            for MaskProp models).
        device: where to run (default: a GPU if there is one).
    """

    weights: str | Path | None = None
    score_threshold: float | None = None
    categories: Sequence[str] | None = None
    short_side: int | None = None
    tracker: str | None = None
    device: str | None = None


def get(name: str, **options: Any) -> VideoSegmenter:
    """The segmenter of a preset, which tracks the objects of any video.

    >>> segmenter = get("mask_rcnn_R_50_FPN_3x", categories=["person", "car"])
    >>> for result in segmenter.stream(VideoFile("my_video.mp4")):
    ...     print(result.index, result.track_ids, result.labels)

    Args:
        name: a preset, or its config.
        **options: those of :class:`ModelOptions`.

    Raises:
        InputError: see :func:`load_model`.
    """
    return load_model(get_preset(name).name, ModelOptions(**options))


def load_model(model: str, options: ModelOptions) -> VideoSegmenter:
    """The segmenter of any trained model; its ``network.class_names`` are the category names.

    Args:
        model: a preset or its config; an exported file; or a config file (.yaml) of this project
            or of Detectron2.
        options: how it runs.

    Raises:
        InputError: if there is no such model, its weights are missing, incomplete or cannot be
            fetched, it needs Detectron2, which is not installed, or an option is wrong or does
            not apply to it.
    """
    preset = find_preset(model)
    if preset is None:
        if Path(model).suffix in (".yaml", ".yml"):
            return _load_config_model(model, options)
        if Path(model).is_file():
            if options.weights:
                raise ConfigError(f"{model} is an exported model: it contains its weights")
            return _load_exported(model, options)
        preset = get_preset(model)
    if preset.kind in ("detectron2", "mmdetection"):
        require_detectron2(preset.name)
    options = replace(options, weights=get_weights(preset, options.weights))
    if preset.kind == "exported":
        return _load_exported(str(options.weights), options)
    if preset.kind == "mmdetection":
        return _load_config_model(get_config_file(preset.name), options)
    options = replace(options, short_side=options.short_side or SHORT_SIDE)
    if preset.kind == "detectron2":
        return _load_config_model(get_config_file(preset.name), options)
    detector = TorchvisionDetector(
        preset.name,
        str(options.weights),
        score_threshold=_score_threshold(options),
        categories=options.categories,
        short_side=options.short_side,
        device=options.device,
    )
    return link_detector(detector, options.tracker or DEFAULT_TRACKER)


def _load_exported(path: str, options: ModelOptions) -> VideoSegmenter:
    """The segmenter of an exported file."""
    if options.short_side or options.tracker:
        raise ConfigError(
            f"{path} is an exported model: its input size and tracking method are those of its "
            "export"
        )
    segmenter = VideoSegmenter.from_exported(
        path, score_threshold=options.score_threshold, device=options.device
    )
    network = segmenter.network
    network.labels = category_indices(network.class_names, options.categories)
    return segmenter


def _load_config_model(config_file: str, options: ModelOptions) -> VideoSegmenter:
    """The segmenter of a config of this project, or of any model of Detectron2 that finds masks."""
    require_detectron2(config_file)
    from ..engine import class_names, load_config
    from ..engine.image_detector import Detectron2Detector
    from ..engine.setup import build_trained_model

    keys: dict[str, Any] = {"MODEL.WEIGHTS": options.weights}
    keys["MODEL.DEVICE"] = str(choose_device(options.device))
    keys["MODEL.ROI_HEADS.SCORE_THRESH_TEST"] = options.score_threshold
    keys["MODEL.MASKPROP.TRACKER"] = options.tracker
    if options.short_side:
        keys["INPUT.MIN_SIZE_TEST"] = options.short_side
        keys["INPUT.MAX_SIZE_TEST"] = options.short_side * MAX_SIDE // SHORT_SIDE
    given = [(key, str(value)) for key, value in keys.items() if value is not None]
    cfg = load_config(config_file, [x for pair in given for x in pair])
    if cfg.MODEL.META_ARCHITECTURE != "MaskProp":
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = _score_threshold(options)
        detector = Detectron2Detector(cfg, categories=options.categories)
        return link_detector(detector, options.tracker or DEFAULT_TRACKER)
    if not cfg.MODEL.WEIGHTS:
        raise ConfigError(
            f"{config_file}: MODEL.WEIGHTS is empty: name weights with --weights FILE"
        )
    model, missing = build_trained_model(cfg)
    if cfg.MODEL.MASKPROP.TRACKER == "masktrack":
        # Its published weights have no propagation branch, which it does not use.
        missing = [name for name in missing if not name.startswith("propagation.")]
    # Partly random, it would give tracks that look like any others.
    if missing:
        parts = ", ".join(sorted({name.split(".")[0] for name in missing}))
        raise ConfigError(
            f"{cfg.MODEL.WEIGHTS} has no weights for {parts} of {config_file}: name those of a "
            "training with --weights FILE"
        )
    model.class_names = class_names(cfg)
    model.labels = category_indices(model.class_names, options.categories)
    return model.segmenter


def _score_threshold(options: ModelOptions) -> float:
    """The threshold of an image detector."""
    return SCORE_THRESHOLD if options.score_threshold is None else options.score_threshold


def require_detectron2(model: str) -> None:
    """Check that Detectron2 is installed.

    Raises:
        ConfigError: if it is not.
    """
    if not has_detectron2():
        others = [preset.name for preset in PRESETS.values() if preset.kind == "torchvision"]
        raise ConfigError(
            f"{model} needs Detectron2, which is not installed: maskprop install-detectron2. These "
            f"models do not need it: {', '.join(others)}"
        )
