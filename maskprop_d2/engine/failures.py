"""Known failures of a training, with what to do about them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import TrainingError


@contextmanager
def explain_failures(iteration: int) -> Iterator[None]:
    """Raise a known failure as a ``TrainingError``; other errors pass.

    Args:
        iteration: the current iteration, for the message.
    """
    try:
        yield
    except Exception as error:
        reason = failure_reason(error)
        if reason is None:
            raise
        raise TrainingError(f"iteration {iteration}: {reason}") from error


def failure_reason(error: Exception) -> str | None:
    """The cause of a known failure and what to do about it, in one line; else None."""
    text = " ".join(str(error).split())
    if isinstance(error, FloatingPointError):
        # Raised by Detectron2, for a loss or predictions that are not finite.
        return (
            f"training has diverged ({text}). Lower SOLVER.BASE_LR or set "
            "SOLVER.CLIP_GRADIENTS.ENABLED True"
        )
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return (
            "out of memory. Lower SOLVER.IMS_PER_BATCH, raise SOLVER.ACCUMULATE, lower "
            "INPUT.MIN_SIZE_TRAIN or INPUT.MAX_SIZE_TRAIN, or set SOLVER.AMP.ENABLED True "
            f"({text[:200]})"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the disk is full: {text}"
    return None


def message_in_one_line(error: BaseException) -> str:
    """The message of an error, or the name of its class if there is none."""
    text = str(error).strip() or type(error).__name__
    # From a data loader's process, the message is that process's traceback.
    if "\nOriginal Traceback" in text:
        name = text.splitlines()[-1]
        text = name.partition(": ")[2] or name
    return " ".join(text.split())
