"""One step of the optimizer: over several passes, and in mixed precision."""

import time
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.engine import DefaultTrainer, SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..errors import InputError


class StepTrainer(SimpleTrainer):
    """Detectron2's trainer, which may also sum gradients up, and compute in mixed precision on a
    CPU as on a GPU: in bfloat16 there, in float16 here.

    bfloat16 has the range of float32, so that only gradients in float16 are scaled.
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
            passes: a step is over so many batches of the loader, forwards and backwards one after
                the other; its losses and gradients are their means.
            mixed_precision: whether what needs no float32 is computed in half of it.
            device: the model's, "cpu" or "cuda".
        """
        super().__init__(model, data_loader, optimizer)
        self.passes = passes
        self.mixed_precision = mixed_precision
        self.device = device
        self.scaler = torch.amp.GradScaler(device, enabled=mixed_precision and device == "cuda")

    def run_step(self) -> None:
        """As in the base class: the optimizer, which clips gradients, has them whole."""
        self.optimizer.zero_grad()
        losses: dict[str, Tensor] = {}
        data_time = 0.0
        for i in range(self.passes):
            start = time.perf_counter()
            data = next(self._data_loader_iter)
            data_time += time.perf_counter() - start
            for name, loss in self._run_pass(data, last=i == self.passes - 1).items():
                losses[name] = losses[name] + loss if i else loss
        self.after_backward()
        self._write_metrics(losses, data_time)
        if len(losses) == 1 and comm.is_main_process():
            # Detectron2 writes it as the total alone.
            storage = get_event_storage()
            storage.put_scalar(*losses, storage.latest()["total_loss"][0])
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _run_pass(self, data: Any, last: bool) -> dict[str, Tensor]:
        """Forward and backward; gives this pass's shares in the losses of the step."""
        dtype = torch.float16 if self.device == "cuda" else torch.bfloat16
        # Many processes exchange their gradients once a step.
        alone = isinstance(self.model, DistributedDataParallel) and not last
        with self.model.no_sync() if alone else nullcontext():
            with torch.autocast(self.device, dtype, enabled=self.mixed_precision):
                losses = self.model(data)
            shares = {name: loss / self.passes for name, loss in losses.items()}
            self.scaler.scale(sum(shares.values())).backward()
        return {name: share.detach() for name, share in shares.items()}

    def state_dict(self) -> dict[str, Any]:
        """As in the base class, and the scale of the gradients."""
        return {**super().state_dict(), "grad_scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in the base class, also of a training in another precision or on another device."""
        super().load_state_dict(state_dict)
        if state_dict.get("grad_scaler"):
            self.scaler.load_state_dict(state_dict["grad_scaler"])


def share_out(cfg: Any, processes: int) -> Any:
    """A config with its schedule scaled to the passes of a step, each of which counts as a GPU.

    Args:
        cfg: the whole config.
        processes: of the training.

    Returns:
        a config that needs no more scaling.

    Raises:
        InputError: if the clips of a step cannot be shared out evenly.
    """
    clips, gpus = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE
    if gpus and clips % gpus:
        raise InputError(
            f"SOLVER.IMS_PER_BATCH {clips} does not fit SOLVER.REFERENCE_WORLD_SIZE {gpus}, "
            "the number of GPUs that the schedule is written for: set the latter to 0 to train "
            "by the config's figures as they are"
        )
    if cfg.SOLVER.ACCUMULATE < 1:
        raise InputError(f"SOLVER.ACCUMULATE must be 1 or more, not {cfg.SOLVER.ACCUMULATE}")
    passes = processes * cfg.SOLVER.ACCUMULATE
    cfg = DefaultTrainer.auto_scale_workers(cfg, passes).clone()
    if cfg.SOLVER.IMS_PER_BATCH % passes:
        raise InputError(
            f"SOLVER.IMS_PER_BATCH {clips} cannot be shared out to {processes} processes with "
            f"SOLVER.ACCUMULATE {cfg.SOLVER.ACCUMULATE} passes each: make it a multiple of {passes}"
        )
    cfg.defrost()
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 0
    cfg.freeze()
    return cfg
