"""Logging of a training to Weights & Biases and MLflow, beside TensorBoard: ``LOGGERS``."""

import logging
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from detectron2.utils.events import EventWriter, get_event_storage
from torch import Tensor

from ..errors import ConfigError
from .monitoring import PERIOD


class ServiceWriter(EventWriter):
    """Passes scalars, images and the config to a service.

    The service is started by the first ``write``, when it is known whether the training is resumed.
    If it fails, the training goes on without it.
    """

    name: str
    """Its name in ``LOGGERS``, which is that of its Python package too."""

    def __init__(self, cfg: Any, is_resumed: Callable[[], bool]):
        """
        Args:
            cfg: the whole config. The id of the run is kept in ``OUTPUT_DIR``.
            is_resumed: whether the training continues the run of ``OUTPUT_DIR``.
        """
        self._cfg = cfg
        self._is_resumed = is_resumed
        self._last_iteration = -1
        self._state = "new"

    @abstractmethod
    def start(self, config: dict[str, Any], folder: Path, run_id: str | None) -> str:
        """Start a run, or continue the one with ``run_id``; returns its id."""

    @abstractmethod
    def log_scalars(self, scalars: dict[str, float], iteration: int) -> None:
        """Log numbers of one iteration."""

    @abstractmethod
    def log_image(self, name: str, image: np.ndarray, iteration: int) -> None:
        """Log an (H, W, 3) uint8 RGB image."""

    @abstractmethod
    def finish(self) -> None:
        """End the run."""

    def write(self) -> None:
        if self._state == "failed":
            return
        try:
            if self._state == "new":
                self._start()
            self._write_new()
        except Exception as error:
            self._state = "failed"
            logging.getLogger(__name__).warning(
                "Logging to %s ends: %s: %s", self.name, type(error).__name__, error
            )

    def _start(self) -> None:
        folder = Path(self._cfg.OUTPUT_DIR)
        file = folder / f"{self.name}_run_id.txt"
        run_id = file.read_text().strip() if self._is_resumed() and file.is_file() else None
        run_id = self.start(yaml.safe_load(self._cfg.dump()), folder, run_id)
        file.write_text(f"{run_id}\n")
        self._state = "started"

    def _write_new(self) -> None:
        storage = get_event_storage()
        by_iteration: dict[int, dict[str, float]] = defaultdict(dict)
        for name, (value, iteration) in storage.latest_with_smoothing_hint(PERIOD).items():
            if iteration > self._last_iteration:
                by_iteration[iteration][name] = float(value)
        for iteration in sorted(by_iteration):
            self.log_scalars(by_iteration[iteration], iteration)
            self._last_iteration = iteration
        # As Detectron2's own writers: there is no public way to read them. TensorBoard's writer
        # clears them, so that it comes later.
        for name, image, iteration in storage._vis_data:
            self.log_image(name, _to_array(image), iteration)

    def close(self) -> None:
        if self._state == "started":
            self.finish()


def _to_array(image: Tensor | np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of a (3, H, W) image that is uint8 or float in 0..1."""
    array = np.asarray(image).transpose(1, 2, 0)
    return array if array.dtype == np.uint8 else (array * 255).round().astype(np.uint8)


class WandbWriter(ServiceWriter):
    """Weights & Biases. Its variables apply: ``WANDB_PROJECT``, ``WANDB_MODE=offline``, ..."""

    name = "wandb"

    def start(self, config: dict[str, Any], folder: Path, run_id: str | None) -> str:
        import wandb

        self._image = wandb.Image
        self._run = wandb.init(
            config=config, dir=folder, name=folder.name, id=run_id, resume="allow"
        )
        return self._run.id

    def log_scalars(self, scalars: dict[str, float], iteration: int) -> None:
        self._run.log(scalars, step=iteration)

    def log_image(self, name: str, image: np.ndarray, iteration: int) -> None:
        # Without "step": wandb refuses steps before the last one.
        self._run.log({name: self._image(image, caption=f"iteration {iteration}")})

    def finish(self) -> None:
        self._run.finish()


class MlflowWriter(ServiceWriter):
    """MLflow. Its variables apply: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``, ..."""

    name = "mlflow"

    def start(self, config: dict[str, Any], folder: Path, run_id: str | None) -> str:
        import mlflow

        self._mlflow = mlflow
        run = mlflow.start_run(run_id=run_id, run_name=None if run_id else folder.name)
        mlflow.log_dict(config, "config.yaml")
        return run.info.run_id

    def log_scalars(self, scalars: dict[str, float], iteration: int) -> None:
        self._mlflow.log_metrics(scalars, step=iteration)

    def log_image(self, name: str, image: np.ndarray, iteration: int) -> None:
        self._mlflow.log_image(image, f"{name}/{iteration:07d}.png")

    def finish(self) -> None:
        self._mlflow.end_run()


WRITERS = {writer.name: writer for writer in (WandbWriter, MlflowWriter)}


def check_loggers(names: list[str]) -> None:
    """
    Raises:
        ConfigError: for an unknown service, or one whose package is not installed.
    """
    for name in names:
        if name not in WRITERS:
            raise ConfigError(f"LOGGERS has '{name}': choose from {', '.join(WRITERS)}")
        if find_spec(name) is None:
            raise ConfigError(f"LOGGERS has '{name}', which is not installed: pip install {name}")
