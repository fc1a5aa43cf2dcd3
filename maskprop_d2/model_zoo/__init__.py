"""
Published models that run without training, after ``detectron2.model_zoo``.

>>> from maskprop_d2 import model_zoo
>>> detector = model_zoo.get_detector("mask_rcnn_R_50_FPN_3x")
"""

from .fetching import fetch_weights, has_detectron2, local_path
from .loading import default_preset, get_detector
from .presets import PRESETS, Preset, find_preset, get_checkpoint_url, get_config_file, get_preset

__all__ = [
    "PRESETS",
    "Preset",
    "default_preset",
    "fetch_weights",
    "find_preset",
    "get_checkpoint_url",
    "get_config_file",
    "get_detector",
    "get_preset",
    "has_detectron2",
    "local_path",
]
