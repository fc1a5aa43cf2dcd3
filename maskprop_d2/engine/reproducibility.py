"""Runs that can be repeated, and that go on after an end as if there had been none."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.utils import comm

from ..data.loaders import load_records
from ..errors import InputError
from ..files import atomic_file

PACKAGES = ("maskprop-d2", "torch", "torchvision", "detectron2", "numpy", "opencv-python", "av")


def choose_seed(cfg: Any, resume: bool) -> None:
    """Where no ``SEED`` is set, set one, the same in all processes, so that it is recorded.

    Args:
        cfg: a whole config that is not frozen yet.
        resume: whether a training goes on: with the seed that it began with.
    """
    if cfg.SEED < 0:
        runs = _recorded_runs(cfg) if resume else []
        cfg.SEED = runs[-1]["seed"] if runs else int(comm.shared_random_seed())


def _recorded_runs(cfg: Any) -> list[dict[str, Any]]:
    """What ``record_run`` has written; nothing if it cannot be read."""
    try:
        runs = json.loads((Path(cfg.OUTPUT_DIR) / "runs.json").read_text())
    except (OSError, ValueError):
        return []
    return runs if isinstance(runs, list) else []


def seed_of_step(seed: int, iteration: int, rank: int) -> int:
    """What the model's random numbers in one iteration of one process start from."""
    return int(np.random.default_rng([seed, iteration, rank]).integers(2**63))


def drop_from(metrics_file: Path, iteration: int) -> None:
    """Cut off what ``metrics.json`` says of an iteration and later ones, or does not say whole:
    training goes on from there, and writes it again.

    Args:
        metrics_file: a line of json an iteration, in order; need not be there.
        iteration: the first one that is still to come.
    """
    if not metrics_file.is_file():
        return
    keep = 0
    with metrics_file.open("rb") as file:
        for line in file:
            try:
                figures = json.loads(line)
                # An evaluation at the end of a training counts as of the iteration to come.
                last = iteration - 1 if "total_loss" in figures else iteration
                if not line.endswith(b"\n") or figures["iteration"] > last:
                    break
            except (ValueError, KeyError, TypeError):
                break
            keep += len(line)
    # In its place, since the file is open already, for what is to come.
    os.truncate(metrics_file, keep)


def record_run(cfg: Any, command: list[str]) -> None:
    """Add to ``OUTPUT_DIR/runs.json`` what a training depends on; it has an entry for each start.

    Args:
        cfg: the whole config.
        command: the command line.
    """
    entry = {
        "started": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "command": command,
        "seed": cfg.SEED,
        "processes": comm.get_world_size(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if cfg.MODEL.DEVICE == "cuda" else cfg.MODEL.DEVICE,
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "data_sets": {x: _data_set(cfg, x) for x in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)},
        "config": cfg.dump(),
    }
    with atomic_file(Path(cfg.OUTPUT_DIR) / "runs.json") as partial:
        partial.write_text(json.dumps([*_recorded_runs(cfg), entry], indent=2))


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            # As OpenCV, which comes under several names.
            continue
    return versions


def _commit() -> str | None:
    """The commit of this code, with a "+" if it was changed since; None outside of a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit, changes = (
            subprocess.run([*git, *what], capture_output=True, text=True, check=True).stdout
            for what in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+" if changes else "")


def _data_set(cfg: Any, name: str) -> dict[str, Any]:
    """What tells a data set from another of its name, as far as it can be read."""
    try:
        records = load_records(cfg, name)
    except InputError as error:
        return {"error": str(error)}
    described = {"frames": sum(record.get("length", 1) for record in records)}
    json_file = MetadataCatalog.get(name).get("json_file")
    if json_file is None:
        return described
    return {**described, "json": str(json_file), "sha256": file_hash(json_file)}
