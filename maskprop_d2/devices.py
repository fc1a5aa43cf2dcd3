"""Where networks run, and in which precision."""

import os
from pathlib import Path

import torch

from .errors import ConfigError


def available_devices() -> list[str]:
    """The devices of this machine, the default first."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*gpus, "cpu", *(["mps"] if torch.backends.mps.is_available() else [])]


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device that a user names, or the default: a GPU if there is one.

    Apple's GPU (``mps``) lacks operators of these networks, and torch can run these on the CPU. It
    is used only on request.

    Raises:
        ConfigError: if there is no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    devices = available_devices()
    if str(device) not in {*devices, *(x.split(":")[0] for x in devices)}:
        raise ConfigError(f"there is no device '{device}': choose one of {', '.join(devices)}")
    chosen = torch.device(device)
    if chosen.type == "mps" and os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK") != "1":
        raise ConfigError(
            "mps lacks operators of these networks: set PYTORCH_ENABLE_MPS_FALLBACK=1, with which "
            "torch runs them on the CPU, or choose cpu"
        )
    return chosen


def half_precision(device_type: str) -> torch.dtype:
    """The type of mixed precision: bfloat16 on a CPU, which has no float16 products. GPUs before
    NVIDIA's Ampere have no bfloat16."""
    return torch.bfloat16 if device_type == "cpu" else torch.float16


def has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16 matrix products.

    With them a convolution takes half as long as in float32; without them twice (AVX-512) to twenty
    times as long.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    # Two names on x86, one on ARM.
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})
