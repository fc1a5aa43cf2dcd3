from .config import ConfigError, build_segmenter, check_weights, load_config
from .evaluator import YTVISEvaluator, as_results, write_results
from .trainer import Trainer

__all__ = [
    "ConfigError",
    "Trainer",
    "YTVISEvaluator",
    "as_results",
    "build_segmenter",
    "check_weights",
    "load_config",
    "write_results",
]
