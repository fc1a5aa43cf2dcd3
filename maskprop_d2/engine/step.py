"""One optimizer step: gradient accumulation and mixed precision."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..devices import half_precision


class StepTrainer(SimpleTrainer):
    """Detectron2's ``SimpleTrainer`` with gradient accumulation, and mixed precision on GPU and
    CPU.

    Mixed precision is float16 on a GPU, with scaled gradients, and bfloat16 on a CPU, which has the
    range of float32 and needs no scaling.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        data_loader: Any,
        optimizer: torch.optim.Optimizer,
        *,
        passes: int = 1,
        mixed_precision: bool = False,
        device: str = "cpu",
    ):
        """
        Args:
            model, data_loader, optimizer: as in the base class.
            passes: batches per step, forward and backward one after the other; losses and gradients
                are their means.
            mixed_precision: whether to use autocast.
            device: the model's device type, "cpu" or "cuda".
        """
        super().__init__(model, data_loader, optimizer)
        self.passes = passes
        self.mixed_precision = mixed_precision
        self.device = device
        self.scaler = torch.amp.GradScaler(device, enabled=mixed_precision and device == "cuda")
        self._batches: Iterator[Any] | None = None

    def run_step(self) -> None:
        if self._batches is None:
            # Not earlier: a resumed training first sets where the data loader starts.
            self._batches = iter(self.data_loader)
        self.optimizer.zero_grad()
        losses: dict[str, Tensor] = {}
        data_time = 0.0
        for i in range(self.passes):
            start = time.perf_counter()
            data = next(self._batches)
            data_time += time.perf_counter() - start
            for name, loss in self._run_pass(data, last=i == self.passes - 1).items():
                losses[name] = losses[name] + loss if i else loss
        self.after_backward()
        self.write_metrics(losses, data_time, self.iter)
        if len(losses) == 1 and comm.is_main_process():
            # Detectron2 writes a single loss only as the total.
            storage = get_event_storage()
            storage.put_scalar(*losses, storage.latest()["total_loss"][0])
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _run_pass(self, data: Any, last: bool) -> dict[str, Tensor]:
        """Forward and backward. Returns the losses divided by the number of passes."""
        dtype = half_precision(self.device)
        # Processes exchange gradients once per step.
        no_sync = isinstance(self.model, DistributedDataParallel) and not last
        with self.model.no_sync() if no_sync else nullcontext():
            with torch.autocast(self.device, dtype, enabled=self.mixed_precision):
                losses = self.model(data)
            losses = {name: loss / self.passes for name, loss in losses.items()}
            self.scaler.scale(sum(losses.values())).backward()
        return {name: loss.detach() for name, loss in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "grad_scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Also loads the state of a training in another precision or on another device."""
        super().load_state_dict(state_dict)
        if state_dict.get("grad_scaler"):
            self.scaler.load_state_dict(state_dict["grad_scaler"])
