"""What the benchmarks share: clocks that wait for the GPU, and the name of the machine."""

import os
import platform
import time
from pathlib import Path

import torch


def seconds() -> float:
    """The time, when the GPU, if there is one, has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def machine() -> dict[str, object]:
    """What figures depend on."""
    facts: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.is_file():
        names = [x for x in cpu_info.read_text().splitlines() if x.startswith("model name")]
        if names:
            facts["machine"] = names[0].partition(":")[2].strip()
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts
