"""From a config file to a config, and from that to a segmenter."""

import logging
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from .. import add_maskprop_config
from ..data import register_ytvis
from ..evaluation import AnnotationError
from ..inference.segmenter import VideoSegmenter


def load_config(config_file: str, options: list[str]) -> CfgNode:
    """Detectron2's and MaskProp's defaults, then the file, then ``KEY VALUE`` pairs.

    Registers the data sets of ``DATASETS.REGISTER``. Without a GPU, ``MODEL.DEVICE`` becomes
    "cpu", and a line says so.

    Raises:
        AnnotationError: if ``DATASETS.REGISTER`` is wrong.
    """
    cfg = get_cfg()
    add_maskprop_config(cfg)
    cfg.merge_from_file(config_file)
    cfg.merge_from_list(options)
    for entry in cfg.DATASETS.REGISTER:
        if not isinstance(entry, list | tuple) or [type(x) for x in entry] != [str] * 3:
            raise AnnotationError(
                f"DATASETS.REGISTER must be a list of [name, json, folder of frames], but holds "
                f"{entry!r}"
            )
        register_ytvis(*entry)
    if cfg.MODEL.DEVICE == "cuda" and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
        logging.getLogger(__name__).warning("No GPU can be used: running on the CPU.")
    return cfg


def build_segmenter(cfg: Any) -> VideoSegmenter:
    """A segmenter with the weights of ``MODEL.WEIGHTS``, ready for videos."""
    model = build_model(cfg)
    DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    model.eval()
    return model.segmenter
