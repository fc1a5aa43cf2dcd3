"""Logging of the commands."""

import logging
import warnings

from ..errors import InputError


def setup_logging() -> None:
    """Hide messages of other libraries that a user of a command can do nothing about."""
    # Detectron2 calls torch.meshgrid without ``indexing``; so do exported models.
    warnings.filterwarnings("ignore", "torch.meshgrid")
    # Detectron2 logs the traceback of errors, which the command prints in one line.
    logging.getLogger("detectron2.engine.train_loop").addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], InputError))
    )
    # Warns about a function that Detectron2 calls to find out whether it is traced.
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
    # Warns if CUDA is installed without a GPU, as ``load_config`` does.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
