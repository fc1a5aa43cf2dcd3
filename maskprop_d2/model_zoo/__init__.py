"""
Published models that run without training, after ``detectron2.model_zoo``.

>>> from maskprop_d2 import model_zoo
>>> segmenter = model_zoo.get("mask_rcnn_R_50_FPN_3x")
"""

from .fetching import fetch_weights, has_detectron2, local_path
from .loading import ModelOptions, default_preset, get, load_model
from .presets import PRESETS, Preset, find_preset, get_checkpoint_url, get_config_file, get_preset

__all__ = [
    "PRESETS",
    "ModelOptions",
    "Preset",
    "default_preset",
    "fetch_weights",
    "find_preset",
    "get",
    "get_checkpoint_url",
    "get_config_file",
    "get_preset",
    "has_detectron2",
    "load_model",
    "local_path",
]
