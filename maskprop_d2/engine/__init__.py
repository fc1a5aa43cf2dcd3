import logging

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

# Detectron2 asks torch whether it is being traced, and each process once gets as an answer, in the
# middle of its progress bar, that the question could be put better.
logging.getLogger("torch.fx._symbolic_trace").addFilter(
    lambda record: not record.getMessage().startswith("is_fx_tracing will return true")
)
