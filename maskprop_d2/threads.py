"""How many threads to compute with on a machine whose cores may be limited or busy.

An operator is finished when the slowest of its threads is. With as many threads as cores, one of
which another process uses, every operator waits for that core, so that two threads can be far
slower than one.
"""

import os
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
SECONDS = 0.2
"""How long the load is measured; the kernel counts in steps of 0.01 seconds."""


def available_cores() -> int:
    """The CPU cores that this process may use: its affinity (``taskset``, Slurm), and the limit of
    its control groups (``docker --cpus``, Kubernetes), rounded up."""
    cores = len(os.sched_getaffinity(0))
    quota = _cgroup_cores()
    # Two decimals, since a limit of 3 cores may be written as 2.9999.
    return cores if quota is None else max(1, min(cores, int(-(-round(quota, 2) // 1))))


def _cgroup_cores() -> float | None:
    """The lowest limit of this process's control groups, in cores; None if there is none."""
    limits = []
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / "cpu" if controllers else CGROUPS
        path = root / name.lstrip("/")
        # In a container, the path may be that of the host, and the own group the root.
        limits += [_limit(x) for x in (path, *path.parents) if x.is_relative_to(root)]
    return min((x for x in limits if x is not None), default=None)


def _limit(group: Path) -> float | None:
    """The limit of one control group in cores, of version 2 or 1."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{x}_us").read_text() for x in ("quota", "period"))
        return float(quota) / float(period) if quota != "max" and float(quota) > 0 else None
    except (OSError, ValueError):
        return None


def _busy_seconds() -> float:
    """CPU seconds that all processes have used on the cores that this one may use."""
    cores = {f"cpu{i}" for i in os.sched_getaffinity(0)}
    ticks = 0
    for line in (PROC / "stat").read_text().splitlines():
        name, *values = line.split()
        if name in cores:
            # user, nice, system, then idle and waiting, then interrupts and a hypervisor's part.
            user, nice, system, _, _, *others = map(int, values[:8])
            ticks += user + nice + system + sum(others)
    return ticks / os.sysconf("SC_CLK_TCK")


def busy_cores(seconds: float = SECONDS) -> float:
    """How many of the cores that this process may use others keep busy; 0 where the system does
    not say.

    Args:
        seconds: how long to measure.
    """
    try:
        start, busy, own = time.perf_counter(), _busy_seconds(), time.process_time()
        time.sleep(seconds)
        busy, own = _busy_seconds() - busy, time.process_time() - own
    except (OSError, ValueError):
        return 0.0
    return max(0.0, (busy - own) / (time.perf_counter() - start))


def set_threads(number: int | None = None) -> str:
    """Set the number of threads of torch and OpenCV for this process.

    Args:
        number: how many (default: torch's if ``OMP_NUM_THREADS`` is set, otherwise the cores that
            this process may use and that others leave free).

    Returns:
        what was chosen and why, or "" if nothing was to be chosen.
    """
    # Not needed to count cores, which commands do that need no torch.
    import cv2
    import torch

    text = ""
    if number is None:
        if os.environ.get("OMP_NUM_THREADS"):
            # torch reads this variable, OpenCV does not.
            cv2.setNumThreads(torch.get_num_threads())
            return ""
        cores, limit, busy = len(os.sched_getaffinity(0)), available_cores(), busy_cores()
        number = max(1, min(limit, int(cores - busy + 0.5)))
        text = f"{number} thread{'s' if number > 1 else ''}: others use {busy:.1f} of {cores} cores"
        if limit < cores:
            text += f", and this process may use {limit}"
    torch.set_num_threads(number)
    cv2.setNumThreads(number)
    return text
