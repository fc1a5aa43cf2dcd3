import logging

from .checkpoint import load_weights
from .evaluator import YTVISEvaluator
from .export import export_model
from .failures import EXPLAINED
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

# Detectron2 prints the way through its code to what is told in one line at the end.
logging.getLogger("detectron2.engine.train_loop").addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], EXPLAINED))
)
# Detectron2 asks torch whether it is being traced, and each process once gets as an answer, in the
# middle of its progress bar, that the question could be put better.
logging.getLogger("torch.fx._symbolic_trace").addFilter(
    lambda record: not record.getMessage().startswith("is_fx_tracing will return true")
)
# Detectron2 asks where CUDA is, to print it; where there is CUDA but no GPU, torch warns of that,
# which load_config tells already.
logging.getLogger("torch.utils.cpp_extension").addFilter(
    lambda record: not record.getMessage().startswith("No CUDA runtime is found")
)
