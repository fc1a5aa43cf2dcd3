"""Detectron2's default trainer, over videos."""

import sys
import time
from collections import OrderedDict
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer, HookBase, SimpleTrainer, defaults
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils import comm
from tqdm import tqdm

from ..data import build_test_loader, build_train_loader
from ..data.stream import stream_of
from ..errors import InputError
from .checkpoint import Checkpointer
from .evaluator import YTVISEvaluator
from .faults import explained
from .repeat import drop_from, seed_of_step
from .unfinished import FinishedVideos, SkipFinished, fingerprint
from .watching import Summary, WatchTraining


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

        Raises:
            InputError: if the batch cannot be shared out to the GPUs that the config is for.
        """
        clips, gpus = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE
        if gpus and clips % gpus:
            raise InputError(
                f"SOLVER.IMS_PER_BATCH {clips} does not fit SOLVER.REFERENCE_WORLD_SIZE {gpus}, "
                "the number of GPUs that the schedule is written for: set the latter to 0 to train "
                "by the config's figures as they are"
            )
        replaced: dict[str, Any] = {"DetectionCheckpointer": Checkpointer}
        if cfg.MODEL.DEVICE == "cpu":
            # Detectron2 names a GPU to torch's wrapper for many processes, also where there is
            # none, and has mixed precision for GPUs alone.
            replaced["create_ddp_model"] = partial(defaults.create_ddp_model, device_ids=None)
            replaced["AMPTrainer"] = CPUAMPTrainer
        with ExitStack() as stack:
            for name, replacement in replaced.items():
                stack.enter_context(mock.patch.object(defaults, name, replacement))
            super().__init__(cfg)

    def resume_or_load(self, resume: bool = True) -> None:
        """As in the base class; data, random numbers and ``metrics.json`` go on where they were."""
        super().resume_or_load(resume)
        if self.start_iter:
            stream_of(self._trainer.data_loader).first_batch = self.start_iter
            if comm.is_main_process():
                drop_from(Path(self.cfg.OUTPUT_DIR) / "metrics.json", self.start_iter)

    def run_step(self) -> None:
        """As in the base class, with random numbers that depend on seed and iteration alone.

        Raises:
            TrainingError: if training cannot go on.
        """
        if self.cfg.SEED >= 0:
            torch.manual_seed(seed_of_step(self.cfg.SEED, self.iter, comm.get_rank()))
        with explained(self.iter):
            super().run_step()

    def after_step(self) -> None:
        """As in the base class.

        Raises:
            TrainingError: if training cannot go on.
        """
        with explained(self.iter):
            super().after_step()

    def build_hooks(self) -> list[HookBase]:
        """Those of Detectron2, and what there is to watch."""
        hooks = super().build_hooks()
        # After the timer, whose figures it reads, and before the writers of what it tells.
        hooks.insert(1, WatchTraining())
        return [*hooks, ProgressBar(), Summary()] if comm.is_main_process() else hooks

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
    def test(cls, cfg: CfgNode, model: torch.nn.Module) -> OrderedDict[str, Any]:
        """Evaluate on each of ``DATASETS.TEST``; an evaluation that was stopped goes on.

        Results go to ``OUTPUT_DIR/inference``, or a folder each if there are several sets.

        Returns:
            the figures of the data set, or of each by its name.
        """
        figures: OrderedDict[str, Any] = OrderedDict()
        for name in cfg.DATASETS.TEST:
            loader = cls.build_test_loader(cfg, name)
            folder = Path(cfg.OUTPUT_DIR) / "inference"
            if len(cfg.DATASETS.TEST) > 1:
                folder /= name
            json_file = MetadataCatalog.get(name).json_file
            finished = FinishedVideos(folder, fingerprint(cfg, model, json_file))
            evaluator = YTVISEvaluator(name, finished)
            figures[name] = inference_on_dataset(SkipFinished(model, finished), loader, evaluator)
            if comm.is_main_process():
                print_csv_format(figures[name])
        return figures[name] if len(figures) == 1 else figures
