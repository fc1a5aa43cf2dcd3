"""Training hooks beside Detectron2's: metrics, averaged weights, a progress bar."""

import resource
import sys
from collections import Counter
from typing import Any

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from ..data.stream import get_stream
from ..errors import InputError

PERIOD = 20
"""Iterations between two lines of ``metrics.json``, as in Detectron2."""
IOU = "propagation_iou/"
"""Prefix of the metrics by distance in frames."""


class ProgressBar(HookBase):
    """A progress bar over the iterations, if standard error is a terminal."""

    def before_train(self) -> None:
        self._bar = tqdm(
            total=self.trainer.max_iter,
            initial=self.trainer.start_iter,
            desc="training",
            unit="it",
            disable=not sys.stderr.isatty(),
        )

    def after_step(self) -> None:
        self._bar.update()

    def after_train(self) -> None:
        self._bar.close()


class TrainingMetrics(HookBase):
    """Adds the metrics of docs/watching.md, over all processes, to the storage.

    All processes must have this hook. On the main process it comes after ``IterationTimer`` and
    before the writers. It synchronizes devices and processes only every ``PERIOD`` iterations.
    """

    def after_step(self) -> None:
        trainer = self.trainer
        latest = trainer.storage.latest()
        seconds, iteration = latest.get("time", (0.0, -1))
        if iteration == trainer.iter and "data_time" in latest:
            trainer.storage.put_scalar("data_share", latest["data_time"][0] / seconds)
        if (trainer.iter + 1) % PERIOD == 0 or trainer.iter == trainer.max_iter - 1:
            self._put_gathered()

    def _put_gathered(self) -> None:
        model = getattr(self.trainer.model, "module", self.trainer.model)
        skipped = get_stream(self.trainer.data_loader).mapper.skipped.value
        iou = model.propagation_monitor.pop_metrics()
        gathered = comm.gather((peak_memory(model.device), skipped, iou))
        if not comm.is_main_process():
            return
        memory, skipped, iou_by_process = zip(*gathered, strict=True)
        metrics = {"peak_memory_mb": max(memory), "skipped_samples": sum(skipped)}
        sums: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for iou in iou_by_process:
            for distance, (total, count) in iou.items():
                sums[distance] += total
                counts[distance] += count
        metrics.update({f"{IOU}{x}": sums[x] / counts[x] for x in sums if counts[x]})
        self.trainer.storage.put_scalars(**metrics, smoothing_hint=False)


def peak_memory(device: torch.device) -> float:
    """Peak memory in MB (2^20 bytes): of tensors on a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


class WeightAverage(HookBase):
    """Keeps an exponential moving average (EMA) of a model's weights and normalization statistics.

    A checkpoint has the averaged weights as its ``model``, and the weights in training in the state
    of this hook.
    """

    def __init__(self, model: nn.Module, decay: float):
        """
        Args:
            model: the model in training.
            decay: in each step the average keeps this share of itself, in (0, 1); at most
                (1 + n) / (10 + n) after n steps, so that it soon forgets the initial weights.

        Raises:
            InputError: if ``decay`` is out of range.
        """
        if not 0 < decay < 1:
            raise InputError(f"SOLVER.EMA_DECAY must be in [0, 1) (0: off), not {decay}")
        self._model = model
        self._decay = decay
        self._average = AveragedModel(model, multi_avg_fn=self._update, use_buffers=True)

    @property
    def averaged(self) -> nn.Module:
        """A copy of the model with averaged weights."""
        return self._average.module

    def _update(self, averaged: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        decay = min(self._decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                # With lerp the average of equal values is exact.
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    @torch.no_grad()
    def after_step(self) -> None:
        self._average.update_parameters(self._model)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs besides the averaged weights."""
        return {"model": self._model.state_dict(), "steps": int(self._average.n_averaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume, after the averaged weights were loaded into the model."""
        self.averaged.load_state_dict(self._model.state_dict())
        self._model.load_state_dict(state["model"])
        self._average.n_averaged.fill_(state["steps"])
