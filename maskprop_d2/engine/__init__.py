import logging

from .config import (
    ConfigError,
    build_segmenter,
    check_weights,
    class_names,
    load_config,
    load_weights,
)
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
    "load_weights",
    "write_results",
]

# Detectron2 asks torch whether it is being traced, and each process once gets as an answer, in the
# middle of its progress bar, that the question could be put better.
logging.getLogger("torch.fx._symbolic_trace").addFilter(
    lambda record: not record.getMessage().startswith("is_fx_tracing will return true")
)
