"""From a config file to a config, and from that to a segmenter."""

import logging
import os
from collections.abc import Sequence
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
from ..errors import AnnotationError, ConfigError
from ..inference.segmenter import VideoSegmenter
from ..modeling import MaskProp
from .checkpoint import load_weights

CONFIGS = Path(__file__).parents[1] / "configs"
"""The configs that come with the package."""
WRONG_CONFIG = (AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What Detectron2 raises for keys and values that it does not know."""


def load_config(config_file: str | Path, options: list[str]) -> CfgNode:
    """Detectron2's and MaskProp's defaults, then the file, then ``KEY VALUE`` pairs.

    Registers the data sets of ``DATASETS.REGISTER``. Without a GPU, ``MODEL.DEVICE`` becomes
    "cpu", and a line says so; settings that would slow down a CPU are replaced.

    Raises:
        ConfigError: if the file is missing, or it or the options have wrong keys or values.
        AnnotationError: if ``DATASETS.REGISTER`` is wrong.
    """
    cfg = get_cfg()
    add_maskprop_config(cfg)
    config_file = str(find_config(config_file))
    try:
        # YAML can name Python objects to be made, and so run code: not here.
        cfg.merge_from_file(config_file, allow_unsafe=False)
    except (*WRONG_CONFIG, OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{config_file}: {_in_one_line(error)}") from error
    try:
        cfg.merge_from_list(options)
    except WRONG_CONFIG as error:
        raise ConfigError(f"options {' '.join(options)}: {_in_one_line(error)}") from error
    for entry in cfg.DATASETS.REGISTER:
        if not isinstance(entry, list | tuple) or [type(x) for x in entry] != [str] * 3:
            raise AnnotationError(
                f"DATASETS.REGISTER must be a list of [name, json, folder of frames], but holds "
                f"{entry!r}"
            )
        register_ytvis(*entry)
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
        if comm.is_main_process():
            logging.getLogger(__name__).warning("No GPU can be used: running on the CPU.")
    if cfg.MODEL.DEVICE == "cpu":
        suit_cpu(cfg)
    return cfg


def find_config(config_file: str | Path) -> Path:
    """The path of a config file, or of one that comes with the package.

    Args:
        config_file: a path, or a name below ``configs/``, with or without that prefix:
            ``moving_shapes/maskprop_tiny.yaml``.

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


def suit_cpu(cfg: Any) -> None:
    """Replace settings that slow down a training on this CPU."""
    # More would take turns with the computing, and torch would warn.
    cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, cores_per_process())
    if cfg.SOLVER.AMP.ENABLED and not has_bfloat16():
        cfg.SOLVER.AMP.ENABLED = False
        logging.getLogger(__name__).info(
            "This CPU has no instructions for bfloat16, and would be slower with it: "
            "SOLVER.AMP.ENABLED is set to False."
        )


def cores_per_process() -> int:
    """The CPU's cores that this process may use, where others of this machine train with it."""
    return max(1, len(os.sched_getaffinity(0)) // comm.get_local_size())


def has_bfloat16() -> bool:
    """Whether the CPU multiplies matrices of bfloat16 itself. Without, a convolution takes two
    (AVX-512) to twenty times as long as in float32; with it, half as long."""
    try:
        known = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    # On x86, and on ARM.
    return not known.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def check_weights(cfg: Any) -> None:
    """
    Raises:
        ConfigError: if ``MODEL.WEIGHTS`` is a file that is not there.
    """
    weights = cfg.MODEL.WEIGHTS
    if weights and "://" not in weights and not Path(weights).is_file():
        raise ConfigError(f"MODEL.WEIGHTS is {weights}: there is no such file")


def _in_one_line(error: Exception) -> str:
    # The text of a KeyError is in quotes, that of an OSError in several arguments.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(text).split())


def build_segmenter(cfg: Any) -> VideoSegmenter:
    """A segmenter with the weights of ``MODEL.WEIGHTS``, ready for videos.

    Raises:
        InputError: see :func:`build_trained_model`.
    """
    model, _ = build_trained_model(cfg)
    return model.segmenter


def build_trained_model(cfg: Any) -> tuple[MaskProp, Sequence[str]]:
    """A model with the weights of ``MODEL.WEIGHTS``, in eval mode, and the names of those that the
    file has not: they are random.

    Raises:
        ConfigError: if they are missing.
        WeightsFileError: if they are damaged, or more than weights.
        MissingWeightsError: if they lack those of the tracking method.
    """
    check_weights(cfg)
    if not cfg.MODEL.WEIGHTS:
        logging.getLogger(__name__).warning(
            "MODEL.WEIGHTS is empty: the network is random, and finds nothing that is there."
        )
    model = build_model(cfg)
    missing = load_weights(cfg, model)
    return model.eval(), missing


def class_names(cfg: Any) -> list[str]:
    """The category names of the data set that the model is tested (or trained) on."""
    number = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    for dataset in [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]:
        metadata = MetadataCatalog.get(dataset)
        try:
            if "thing_classes" not in metadata.as_dict():
                # Known when the data set's json has been read.
                load_records(cfg, dataset)
        except AnnotationError as error:
            logging.getLogger(__name__).warning("No category names: %s", error)
            continue
        if len(metadata.thing_classes) == number:
            return list(metadata.thing_classes)
    return [f"class {i}" for i in range(number)]
