from .config import ConfigError, build_segmenter, check_weights, class_names, load_config
from .evaluator import YTVISEvaluator, write_results
from .export import export_model
from .trainer import Trainer

__all__ = [
    "ConfigError",
    "Trainer",
    "YTVISEvaluator",
    "build_segmenter",
    "check_weights",
    "class_names",
    "export_model",
    "load_config",
    "write_results",
]
