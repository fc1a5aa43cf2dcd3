"""The number of threads, on machines whose cores are limited or busy."""

import os
import time

import cv2
import pytest
import torch

from maskprop_d2 import threads
from maskprop_d2.threads import available_cores, busy_cores, set_threads

STAT = "cpu  {0} 0 0 900 0 0 0 0 0 0\ncpu0 {0} 0 0 500 0 0 0 0 0 0\ncpu1 0 0 0 400 0 0 0 0 0 0\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 8 cores, whose limits and load the files of a folder describe."""
    monkeypatch.setattr(threads, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "PROC", tmp_path / "proc")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


@pytest.fixture
def restored():
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def write(files, folder):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V2 = {"proc/self/cgroup": "0::/a/b\n"}
V1 = {"proc/self/cgroup": "2:cpuacct,cpu:/docker/x\n4:memory:/m\n"}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, 8, id="no control groups"),
        pytest.param(V2, 8, id="no limit is written"),
        pytest.param({**V2, "cgroup/a/b/cpu.max": "max 100000\n"}, 8, id="unlimited"),
        pytest.param({**V2, "cgroup/a/b/cpu.max": "300000 100000\n"}, 3, id="limited"),
        pytest.param({**V2, "cgroup/a/b/cpu.max": "150000 100000\n"}, 2, id="rounded up"),
        pytest.param({**V2, "cgroup/a/b/cpu.max": "20000 100000\n"}, 1, id="less than a core"),
        pytest.param({**V2, "cgroup/a/b/cpu.max": "9900000 100000\n"}, 8, id="more than there are"),
        pytest.param(
            {**V2, "cgroup/a/b/cpu.max": "500000 100000\n", "cgroup/a/cpu.max": "200000 100000\n"},
            2,
            id="the group above",
        ),
        pytest.param({**V2, "cgroup/cpu.max": "400000 100000\n"}, 4, id="path of the host"),
        pytest.param({**V2, "cgroup/a/b/cpu.max": "what\n"}, 8, id="unreadable"),
        pytest.param(
            {
                **V1,
                "cgroup/cpu/docker/x/cpu.cfs_quota_us": "250000\n",
                "cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
            },
            3,
            id="version 1",
        ),
        pytest.param(
            {
                **V1,
                "cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
            id="version 1, unlimited",
        ),
    ],
)
def test_available_cores_are_those_of_the_control_group(machine, files, cores):
    write(files, machine)
    assert available_cores() == cores


def test_load_of_other_processes_is_measured(machine, monkeypatch):
    write({"proc/stat": STAT.format(100)}, machine)
    sleep = time.sleep

    def busy(seconds):
        sleep(seconds)
        # As many ticks of 10 ms as one core has in this time.
        write({"proc/stat": STAT.format(100 + round(seconds * os.sysconf("SC_CLK_TCK")))}, machine)

    assert busy_cores(0.02) == 0
    monkeypatch.setattr(time, "sleep", busy)
    assert 0.3 < busy_cores(0.2) <= 1.05


def test_a_system_that_does_not_say_its_load_is_idle(machine):
    assert busy_cores(0.01) == 0
    write({"proc/stat": "cpu0 what\n"}, machine)
    assert busy_cores(0.01) == 0


@pytest.mark.parametrize(
    ("busy", "number"), [(0.0, 8), (0.3, 8), (0.6, 7), (1.1, 7), (7.6, 1), (12.0, 1)]
)
def test_busy_cores_are_left_to_others(machine, monkeypatch, restored, busy, number):
    monkeypatch.setattr(threads, "busy_cores", lambda: busy)
    text = set_threads()
    assert torch.get_num_threads() == cv2.getNumThreads() == number
    plural = "threads" if number > 1 else "thread"
    assert text == f"{number} {plural}: others use {busy} of 8 cores"


def test_a_limit_counts_beside_load(machine, monkeypatch, restored):
    """Other processes use 6 of the machine's cores; a limit of 3 leaves room on the other 2."""
    write({**V2, "cgroup/a/b/cpu.max": "300000 100000\n"}, machine)
    monkeypatch.setattr(threads, "busy_cores", lambda: 6.0)
    assert set_threads() == "2 threads: others use 6.0 of 8 cores, and this process may use 3"


def test_a_given_number_is_used(machine, restored, monkeypatch):
    assert set_threads(3) == "" and torch.get_num_threads() == cv2.getNumThreads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    cv2.setNumThreads(5)
    # torch reads the variable when it is loaded, OpenCV never.
    assert set_threads() == "" and torch.get_num_threads() == cv2.getNumThreads() == 3
    assert set_threads(1) == "" and torch.get_num_threads() == 1
