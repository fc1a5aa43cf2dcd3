"""Detectron2's default trainer, over videos."""

import os
import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest import mock

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, SimpleTrainer, defaults
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils import comm
from tqdm import tqdm

from ..data import build_test_loader, build_train_loader
from ..errors import InputError
from .evaluator import YTVISEvaluator


class ProgressBar(HookBase):
    """A bar over the iterations, on a terminal."""

    def before_train(self) -> None:
        """Open the bar at the iteration that training starts from."""
        self._bar = tqdm(
            total=self.trainer.max_iter,
            initial=self.trainer.start_iter,
            desc="training",
            unit="it",
            disable=not sys.stderr.isatty(),
        )

    def after_step(self) -> None:
        """Move it on."""
        self._bar.update()

    def after_train(self) -> None:
        """Close it."""
        self._bar.close()


class CPUAMPTrainer(SimpleTrainer):
    """Mixed precision on the CPU, in bfloat16: Detectron2's own ``AMPTrainer`` asks for a GPU.

    About a third faster where the CPU has instructions for bfloat16. It has the range of float32,
    so that no gradient needs to be scaled.
    """

    def run_step(self) -> None:
        """As in the base class, with the forward pass under autocast."""
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        with torch.autocast("cpu", torch.bfloat16):
            losses = self.model(data)
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        self.after_backward()
        self._write_metrics(losses, data_time)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """As in the base class, and what ``AMPTrainer`` wants, to go on with on a GPU."""
        return {**super().state_dict(), "grad_scaler": torch.amp.GradScaler("cpu").state_dict()}


class Trainer(DefaultTrainer):
    """Trains and evaluates what the config says, with checkpoints, TensorBoard and metrics.json."""

    def __init__(self, cfg: CfgNode):
        """
        Args:
            cfg: the whole config.
        """
        replaced = {}
        if cfg.MODEL.DEVICE == "cpu":
            # Detectron2 names a GPU to torch's wrapper for many processes, also where there is
            # none, and has mixed precision for GPUs alone.
            replaced["create_ddp_model"] = partial(defaults.create_ddp_model, device_ids=None)
            replaced["AMPTrainer"] = CPUAMPTrainer
        with ExitStack() as stack:
            for name, replacement in replaced.items():
                stack.enter_context(mock.patch.object(defaults, name, replacement))
            super().__init__(cfg)

    def build_hooks(self) -> list[HookBase]:
        """Those of Detectron2, and a progress bar."""
        hooks = super().build_hooks()
        return [*hooks, ProgressBar()] if comm.is_main_process() else hooks

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Detectron2's SGD, or AdamW with the same parameter groups (``SOLVER.OPTIMIZER``).

        Raises:
            InputError: if the config names no such optimizer, or leaves nothing to learn.
        """
        if not any(x.requires_grad for x in model.parameters()):
            raise InputError(
                "there is nothing to learn: FREEZE_DETECTOR is True, PROPAGATION.LOSS_WEIGHT is 0, "
                "and there is no embedding head (MODEL.MASKPROP.MASKTRACK.ENABLED)"
            )
        if cfg.SOLVER.OPTIMIZER == "SGD":
            return super().build_optimizer(cfg, model)
        if cfg.SOLVER.OPTIMIZER != "ADAMW":
            raise InputError(f"SOLVER.OPTIMIZER must be SGD or ADAMW, not {cfg.SOLVER.OPTIMIZER}")
        params = get_default_optimizer_params(
            model, base_lr=cfg.SOLVER.BASE_LR, weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM
        )
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        return optimizer(
            params,
            cfg.SOLVER.BASE_LR,
            weight_decay=cfg.SOLVER.WEIGHT_DECAY,
            # On a GPU a fused step would unscale the gradients of mixed precision itself, after
            # they have been clipped.
            fused=cfg.MODEL.DEVICE == "cpu",
        )

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """See ``maskprop_d2.data``."""
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """See ``maskprop_d2.data``; with a progress bar on a terminal."""
        loader = build_test_loader(cfg, dataset_name)
        quiet = not (comm.is_main_process() and sys.stderr.isatty())
        return tqdm(loader, desc=dataset_name, unit="video", disable=quiet)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> YTVISEvaluator:
        """Results go to ``OUTPUT_DIR/inference``, or a folder each if there are several sets."""
        folder = os.path.join(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            folder = os.path.join(folder, dataset_name)
        return YTVISEvaluator(dataset_name, folder)
