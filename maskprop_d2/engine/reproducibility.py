"""Seeds, and a record of what a training depends on."""

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
"""Packages whose versions are recorded."""


def choose_seed(cfg: Any, resume: bool) -> None:
    """If ``SEED`` is negative, set it to a random seed, the same in all processes.

    Args:
        cfg: the whole config, not frozen.
        resume: if a training is resumed, keep the seed that it started with.
    """
    if cfg.SEED < 0:
        runs = _recorded_runs(cfg) if resume else []
        cfg.SEED = runs[-1]["seed"] if runs else int(comm.shared_random_seed())


def _recorded_runs(cfg: Any) -> list[dict[str, Any]]:
    """The entries of ``runs.json``; empty if it cannot be read."""
    try:
        runs = json.loads((Path(cfg.OUTPUT_DIR) / "runs.json").read_text())
    except (OSError, ValueError):
        return []
    return runs if isinstance(runs, list) else []


def iteration_seed(seed: int, iteration: int, rank: int) -> int:
    """The seed of the model's random numbers in one iteration of one process."""
    return int(np.random.default_rng([seed, iteration, rank]).integers(2**63))


def truncate_metrics(metrics_file: Path, iteration: int) -> None:
    """Remove a damaged end of ``metrics.json``, and the lines from an iteration on.

    Args:
        metrics_file: one line of json per iteration, in order; may be missing.
        iteration: the iteration that training resumes with.
    """
    if not metrics_file.is_file():
        return
    size = 0
    with metrics_file.open("rb") as file:
        for line in file:
            try:
                metrics = json.loads(line)
                # The evaluation at the end of a training has the number of the next iteration.
                last = iteration - 1 if "total_loss" in metrics else iteration
                if not line.endswith(b"\n") or metrics["iteration"] > last:
                    break
            except (ValueError, KeyError, TypeError):
                break
            size += len(line)
    # In place, since the writer has opened the file already.
    os.truncate(metrics_file, size)


def record_run(cfg: Any, command: list[str]) -> None:
    """Add an entry to ``OUTPUT_DIR/runs.json``: seed, versions, datasets and config of a training.

    Args:
        cfg: the whole config.
        command: the command line.
    """
    packages = importlib.metadata.distributions()
    versions = {x.name: x.version for x in packages if x.name in PACKAGES}
    entry = {
        "started": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "command": command,
        "seed": cfg.SEED,
        "processes": comm.get_world_size(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if cfg.MODEL.DEVICE == "cuda" else cfg.MODEL.DEVICE,
        "versions": {"python": platform.python_version(), **versions},
        "commit": _commit(),
        "data_sets": {x: _data_set(cfg, x) for x in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)},
        "config": cfg.dump(),
    }
    with atomic_file(Path(cfg.OUTPUT_DIR) / "runs.json") as partial:
        partial.write_text(json.dumps([*_recorded_runs(cfg), entry], indent=2))


def _commit() -> str | None:
    """The git commit of this code, with "+" if files were changed; None outside a repository."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        # Git is not installed.
        return None
    return result.stdout.strip() or None


def _data_set(cfg: Any, name: str) -> dict[str, Any]:
    """Size and content hash of a dataset."""
    try:
        records = load_records(cfg, name)
    except InputError as error:
        return {"error": str(error)}
    entry = {"frames": sum(record.get("length", 1) for record in records)}
    json_file = MetadataCatalog.get(name).get("json_file")
    if json_file is None:
        return entry
    sha256 = hashlib.sha256(Path(json_file).read_bytes()).hexdigest()
    return {**entry, "json": str(json_file), "sha256": sha256}
