"""Logging to Weights & Biases and MLflow. Stand-ins with their interfaces record the calls."""

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.utils.events import EventStorage

from maskprop_d2 import add_maskprop_config
from maskprop_d2.engine import loggers
from maskprop_d2.engine.loggers import WRITERS, check_loggers
from maskprop_d2.errors import ConfigError


@pytest.fixture
def cfg(tmp_path):
    cfg = get_cfg()
    add_maskprop_config(cfg)
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.SOLVER.BASE_LR = 0.125
    return cfg


@pytest.fixture
def calls(monkeypatch):
    """What was called, by both services in the same form."""
    calls = []

    def add(kind):
        return lambda *values: calls.append((kind, *values))

    def init(config, dir, name, id, resume):
        add("start")(config["SOLVER"]["BASE_LR"], Path(dir).name == name, id)

        def log(values, step=None):
            if step is None:
                ((name, (image, caption)),) = values.items()
                add("image")(name, image, int(caption.split()[-1]))
            else:
                add("scalars")(values, step)

        return SimpleNamespace(id=id or "run1", log=log, finish=add("finish"))

    wandb = ModuleType("wandb")
    wandb.init, wandb.Image = init, lambda image, caption: (image, caption)

    def start_run(run_id, run_name):
        calls.append(("start", None, run_name is None or run_id is None, run_id))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "run1"))

    def log_dict(config, file):
        kind, _, named, run_id = calls.pop()
        calls.append((kind, config["SOLVER"]["BASE_LR"], named and file == "config.yaml", run_id))

    def log_image(image, file):
        folder, _, name = file.rpartition("/")
        add("image")(folder, image, int(Path(name).stem))

    mlflow = ModuleType("mlflow")
    mlflow.start_run, mlflow.log_dict, mlflow.log_image = start_run, log_dict, log_image
    mlflow.log_metrics, mlflow.end_run = (
        lambda values, step: add("scalars")(values, step),
        add("finish"),
    )
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    return calls


@pytest.mark.parametrize("name", WRITERS)
def test_scalars_images_and_config_are_logged(cfg, calls, name):
    writer = WRITERS[name](cfg, lambda: False)
    with EventStorage(0) as storage:
        storage.put_scalar("segm/AP", 12.5)
        storage.step()
        storage.put_scalar("total_loss", 3.0, smoothing_hint=False)
        storage.put_image("clip", torch.full((3, 4, 6), 0.2))
        writer.write()
        storage.clear_images()
        storage.step()
        storage.put_scalar("total_loss", 2.0, smoothing_hint=False)
        writer.write()
    writer.close()
    image = calls.pop(3)
    assert calls == [
        ("start", 0.125, True, None),
        ("scalars", {"segm/AP": 12.5}, 0),
        ("scalars", {"total_loss": 3.0}, 1),
        ("scalars", {"total_loss": 2.0}, 2),
        ("finish",),
    ]
    assert image[:2] == ("image", "clip") and image[3] == 1
    np.testing.assert_array_equal(image[2], np.full((4, 6, 3), 51, np.uint8))


@pytest.mark.parametrize("name", WRITERS)
def test_a_resumed_training_continues_its_run(cfg, calls, name):
    with EventStorage(5) as storage:
        storage.put_scalar("total_loss", 3.0)
        for resumed in (False, True, False):
            WRITERS[name](cfg, lambda resumed=resumed: resumed).write()
    assert [call[3] for call in calls if call[0] == "start"] == [None, "run1", None]


def test_a_service_that_fails_does_not_end_the_training(cfg, calls, monkeypatch, caplog):
    def fail(**options):
        raise ConnectionError("no route")

    monkeypatch.setattr(sys.modules["wandb"], "init", fail)
    writer = WRITERS["wandb"](cfg, lambda: False)
    with EventStorage(0), caplog.at_level(logging.WARNING):
        writer.write()
        writer.write()
        writer.close()
    assert [x.getMessage() for x in caplog.records] == [
        "Logging to wandb ends: ConnectionError: no route"
    ]


def test_wrong_services_are_named(monkeypatch):
    check_loggers([])
    with pytest.raises(ConfigError, match="LOGGERS has 'comet': choose from wandb, mlflow"):
        check_loggers(["comet"])
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed: pip install wandb"):
        check_loggers(["wandb"])
