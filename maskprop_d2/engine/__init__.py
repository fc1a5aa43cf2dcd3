from .config import build_segmenter, load_config
from .evaluator import YTVISEvaluator, as_results, write_results
from .trainer import Trainer

__all__ = [
    "Trainer",
    "YTVISEvaluator",
    "as_results",
    "build_segmenter",
    "load_config",
    "write_results",
]
