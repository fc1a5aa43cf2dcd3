"""Workers on Ray. A cluster takes long to start, so that what needs one is a slow test."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_archive import LENGTH, LINKED, read_files, write_archive

from maskprop_d2.archive import ray_engine
from maskprop_d2.archive.inputs import Video
from maskprop_d2.archive.jobs import Job, Outcome
from maskprop_d2.archive.ray_engine import _Actor, _Resources, process_on_ray
from maskprop_d2.archive.settings import Settings
from maskprop_d2.archive.storage import open_output
from maskprop_d2.errors import InputError

ROOT = Path(__file__).parents[2]


def batch_of(address):
    """A row as Ray passes it to an actor."""
    row = {"index": 7, "address": str(address), "size": 0, "is_folder": False}
    return {k: np.array([v]) for k, v in row.items()}


def test_an_actor(tmp_path):
    archive = write_archive(tmp_path / "in", videos=1)
    actor = _Actor(Job(LINKED, str(tmp_path / "out")))
    assert actor(batch_of(archive / "v0.mp4")) == {
        "index": [7],
        "frames": [LENGTH],
        "reason": [""],
        "details": [""],
        "stops_run": [False],
    }
    name = Video(str(archive / "v0.mp4")).name
    assert open_output(str(tmp_path / "out")).finished() == {name}
    (reason,) = actor(batch_of(archive / "gone.mp4"))["reason"]
    assert "gone.mp4 cannot be opened" in reason


def test_an_actor_that_cannot_work_stops_the_run(tmp_path):
    actor = _Actor(Job(replace(LINKED, tracker="magic"), str(tmp_path / "out")))
    row = actor(batch_of("v.mp4"))
    assert row["stops_run"] == [True] and "magic" in row["reason"][0]


def test_resources_of_workers(tmp_path, monkeypatch):
    cluster = {"CPU": 16.0, "GPU": 2.0}
    assert _Resources().of(cluster, videos=10) == (2, 8, 1)
    # A worker does not span two GPUs.
    assert _Resources(workers=3).of(cluster, videos=10) == (3, 5, 0.5)
    assert _Resources().of({"CPU": 16.0}, videos=10) == (4, 4, 0)
    assert _Resources().of(cluster, videos=1) == (1, 16, 1)
    # Of a cluster that grows when it is needed.
    assert _Resources(50, cpus=8, gpus=1).of({"memory": 1e9}, videos=100) == (50, 8, 1)
    monkeypatch.chdir(tmp_path)
    Path("model.pt").touch()
    found = Settings(model="model.pt", weights="gone.pt").with_absolute_paths()
    assert (found.model, found.weights) == (str(tmp_path / "model.pt"), "gone.pt")


def test_without_ray_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"ray, which is not installed: pip install .*\[ray\]"):
        next(process_on_ray([Video("v.mp4")], Job(LINKED, str(tmp_path))))


@pytest.mark.parametrize("lost", [1, 5])
def test_videos_of_a_lost_node_are_tried_again(lost, tmp_path, monkeypatch):
    videos, tried = [Video(f"v{i}.mp4") for i in range(3)], []

    def process_once(ray, videos, job, workers):
        tried.append([x.address for x in videos])
        done = videos if len(tried) > lost else videos[:1]
        yield from map(Outcome, done)

    monkeypatch.setattr(ray_engine, "_process_once", process_once)
    context = SimpleNamespace(get_current=SimpleNamespace)
    ray = SimpleNamespace(data=SimpleNamespace(DataContext=context), is_initialized=lambda: True)
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: ray)
    job = Job(LINKED, str(tmp_path), retries=1)
    found = {x.video.address: x.reason for x in process_on_ray(videos, job)}
    assert tried == [["v0.mp4", "v1.mp4", "v2.mp4"], ["v1.mp4", "v2.mp4"]]
    assert list(found) == ["v0.mp4", "v1.mp4", "v2.mp4"]
    assert found["v2.mp4"] == (None if lost == 1 else ray_engine.DIED)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_on_this_machine(tmp_path):
    pytest.importorskip("ray")
    archive = write_archive(tmp_path / "in", videos=2)
    (archive / "bad.mp4").write_text("no video")
    for engine, status in [("ray", 1), ("local", 1)]:
        command = [sys.executable, "-m", "maskprop_d2", "run", str(archive), "--workers", "1"]
        command += ["--detections", str(archive / "{stem}.json"), "--tracker", "iou"]
        command += ["--engine", engine, "--output", str(tmp_path / engine)]
        # Seconds, for a machine that is busy.
        paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        environment["RAY_raylet_start_wait_time_s"] = "300"
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode == status, result.stderr
        assert f"3 videos with {3 * LENGTH} frames" in result.stdout
    assert read_files(tmp_path / "ray") == read_files(tmp_path / "local") != {}
