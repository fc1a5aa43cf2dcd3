"""What ends a training, as one clear message."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import InputError, TrainingError

EXPLAINED = (InputError, FloatingPointError)
"""Errors that need no traceback."""


@contextmanager
def explained(iteration: int) -> Iterator[None]:
    """Faults that may happen to any training become a ``TrainingError``.

    Args:
        iteration: the one that is under way, for the message.
    """
    try:
        yield
    except Exception as error:
        reason = explain(error)
        if reason is None:
            raise
        raise TrainingError(f"iteration {iteration}: {reason}") from error


def explain(error: Exception) -> str | None:
    """What happened and what to do about it; None for what is no such fault."""
    if isinstance(error, InputError):
        return None
    text = " ".join(str(error).split())
    if isinstance(error, FloatingPointError):
        # Detectron2's, before the weights were changed.
        losses = re.search(r"\{.*\}", text)
        return (
            f"the loss is not finite: {losses[0] if losses else text}. Lower SOLVER.BASE_LR, or "
            "set SOLVER.CLIP_GRADIENTS.ENABLED True"
        )
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or re.search(
        r"can't allocate memory|out of memory", text
    ):
        return (
            "out of memory. Lower SOLVER.IMS_PER_BATCH, raise SOLVER.ACCUMULATE, lower "
            "INPUT.MIN_SIZE_TRAIN or INPUT.MAX_SIZE_TRAIN, or set SOLVER.AMP.ENABLED True "
            f"({text[:200]})"
        )
    worker = re.search(r"DataLoader worker .*?(killed by signal: \w+|exited unexpectedly)", text)
    if worker:
        return (
            f"a process that reads the data was {worker[1]}".replace("was exited", "exited")
            + ". If memory is short, lower DATALOADER.NUM_WORKERS"
        )
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return f"{'the disk is full' if full else 'a file cannot be used'}: {text}"
    # Of torch.distributed, by its two ways to connect processes.
    if re.search(r"gloo|NCCL|Connection (closed|reset)", text):
        return f"another process of this training has ended: see what it says ({text[:200]})"
    return None
