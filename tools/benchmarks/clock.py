"""Timing of asynchronous work."""

import time

import torch


def seconds() -> float:
    """The current time, after the GPU, if there is one, has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
