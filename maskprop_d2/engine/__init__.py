"""Training and evaluation with Detectron2."""

from .checkpoint import load_weights
from .evaluator import YTVISEvaluator
from .export import export_model
from .setup import build_segmenter, check_weights, class_names, load_config
from .trainer import Trainer

__all__ = [
    "Trainer",
    "YTVISEvaluator",
    "build_segmenter",
    "check_weights",
    "class_names",
    "export_model",
    "load_config",
    "load_weights",
]
