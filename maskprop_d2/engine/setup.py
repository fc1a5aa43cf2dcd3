"""Loading configs, and building trained models from them."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from detectron2.utils import comm

from .. import add_maskprop_config
from ..data import register_ytvis
from ..data.loaders import load_records
from ..devices import has_bfloat16
from ..errors import AnnotationError, ConfigError
from ..inference.segmenter import VideoSegmenter
from ..modeling import MaskProp
from ..threads import available_cores
from .checkpoint import load_weights

CONFIGS = Path(__file__).parents[1] / "configs"
"""The configs in the package."""
WEIGHTS = Path(__file__).parents[1] / "weights"
"""The trained weights in the package."""
WRONG_CONFIG = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What Detectron2 raises for unknown keys and wrong values."""


def load_config(config_file: str | Path, options: list[str]) -> CfgNode:
    """Detectron2's and MaskProp's defaults, overridden by a file and then by ``KEY VALUE`` pairs.

    Registers the datasets of ``DATASETS.REGISTER``. Without a GPU, sets ``MODEL.DEVICE`` to "cpu"
    and logs a warning. On a CPU, replaces settings that would slow it down.

    Args:
        config_file: a path, or a name in the package: see ``find_config``.
        options: alternating keys and values.

    Raises:
        ConfigError: if the file is missing, or a key or value is wrong.
        AnnotationError: if ``DATASETS.REGISTER`` is wrong.
    """
    cfg = get_cfg()
    add_maskprop_config(cfg)
    config_file = str(find_config(config_file))
    try:
        # Unsafe YAML can run code.
        with _flag_as_weight(cfg):
            cfg.merge_from_file(config_file, allow_unsafe=False)
    except (*WRONG_CONFIG, OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{config_file}: {_one_line(error)}") from error
    try:
        with _flag_as_weight(cfg):
            cfg.merge_from_list(options)
    except WRONG_CONFIG as error:
        raise ConfigError(f"options {' '.join(options)}: {_one_line(error)}") from error
    cfg.MODEL.WEIGHTS = find_weights(cfg.MODEL.WEIGHTS)
    for entry in cfg.DATASETS.REGISTER:
        if not isinstance(entry, list | tuple) or [type(x) for x in entry] != [str] * 3:
            raise AnnotationError(
                f"DATASETS.REGISTER must be a list of [name, json, folder of frames], but has an "
                f"entry {entry!r}"
            )
        register_ytvis(*entry)
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
        if comm.is_main_process():
            logging.getLogger(__name__).warning("No GPU is available: running on the CPU.")
    if cfg.MODEL.DEVICE == "cpu":
        _adapt_to_cpu(cfg)
    return cfg


@contextmanager
def _flag_as_weight(cfg: CfgNode) -> Iterator[None]:
    """Accept True and False for LINKING.CATEGORIES, which was a flag before it was a weight."""
    linking = cfg.MODEL.MASKPROP.LINKING
    # In place of None, values of any type are merged.
    default, linking.CATEGORIES = linking.CATEGORIES, None
    yield
    given = default if linking.CATEGORIES is None else linking.CATEGORIES
    if not isinstance(given, bool | int | float):
        raise ValueError(f"MODEL.MASKPROP.LINKING.CATEGORIES must be a number, not {given!r}")
    linking.CATEGORIES = float(given)


def find_config(config_file: str | Path) -> Path:
    """The path of a config file, which may be one of the package's.

    Args:
        config_file: a path, or a name in the package's ``configs/``, with or without this prefix,
            as ``moving_shapes/maskprop_tiny.yaml``.

    Raises:
        ConfigError: if there is no such file.
    """
    path = Path(config_file)
    if path.is_file():
        return path
    packaged = CONFIGS / str(config_file).removeprefix("configs/")
    if packaged.is_file():
        return packaged
    raise ConfigError(f"{config_file}: no such config file")


def find_weights(weights: str) -> str:
    """The path of a weights file, which may be one of the package's.

    Args:
        weights: a path or an address; or ``demo/maskprop_tiny.pt``, also outside of a checkout.
    """
    packaged = WEIGHTS / weights.removeprefix("demo/")
    return str(packaged) if packaged.is_file() and not Path(weights).is_file() else weights


def _adapt_to_cpu(cfg: Any) -> None:
    # More workers than cores would slow down the network, and torch would warn.
    cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, cores_per_process())
    if cfg.SOLVER.AMP.ENABLED and not has_bfloat16():
        cfg.SOLVER.AMP.ENABLED = False
        logging.getLogger(__name__).info(
            "This CPU has no bfloat16 instructions: SOLVER.AMP.ENABLED is set to False."
        )


def cores_per_process() -> int:
    """CPU cores per process, if several processes of this machine train together."""
    return max(1, available_cores() // comm.get_local_size())


def check_weights(cfg: Any) -> None:
    """
    Raises:
        ConfigError: if ``MODEL.WEIGHTS`` is a missing file.
    """
    weights = cfg.MODEL.WEIGHTS
    if weights and "://" not in weights and not Path(weights).is_file():
        raise ConfigError(f"MODEL.WEIGHTS is {weights}: there is no such file")


def _one_line(error: Exception) -> str:
    # str() of a KeyError adds quotes.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    line = " ".join(str(text).split())
    if "(<class 'float'> vs. <class 'int'>)" in line:
        line += ": write the number with a decimal point"
    return line


def build_segmenter(cfg: Any) -> VideoSegmenter:
    """A segmenter with the weights of ``MODEL.WEIGHTS``.

    Raises:
        InputError: as :func:`build_trained_model`.
    """
    model, _ = build_trained_model(cfg)
    return model.segmenter


def build_trained_model(cfg: Any) -> tuple[MaskProp, Sequence[str]]:
    """A model with the weights of ``MODEL.WEIGHTS``, in eval mode, and the names of the weights
    that the file does not have, which are random.

    Raises:
        ConfigError: if the file is missing.
        WeightsFileError: if it is damaged, or contains more than weights.
        MissingWeightsError: if it lacks the weights of the tracking method.
    """
    check_weights(cfg)
    if not cfg.MODEL.WEIGHTS:
        logging.getLogger(__name__).warning(
            "MODEL.WEIGHTS is empty: the network is random and its detections are meaningless."
        )
    model = build_model(cfg)
    missing = load_weights(cfg, model)
    return model.eval(), missing


def class_names(cfg: Any) -> list[str]:
    """The category names of the first of ``DATASETS.TEST`` and ``TRAIN`` that fits the model."""
    number = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    for dataset in [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]:
        metadata = MetadataCatalog.get(dataset)
        try:
            if "thing_classes" not in metadata.as_dict():
                # Reading the annotation file sets them.
                load_records(cfg, dataset)
        except AnnotationError as error:
            logging.getLogger(__name__).warning("No category names: %s", error)
            continue
        if len(metadata.thing_classes) == number:
            return list(metadata.thing_classes)
    return [f"class {i}" for i in range(number)]
