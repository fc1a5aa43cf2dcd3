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
from detectron2.engine import DefaultTrainer, HookBase, defaults
from detectron2.engine.hooks import EvalHook
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from tqdm import tqdm

from ..data import build_test_loader, build_train_loader
from ..data.stream import stream_of
from .averaging import WeightAverage
from .checkpoint import Checkpointer
from .evaluator import YTVISEvaluator
from .failures import explained
from .freezing import freeze
from .monitoring import WatchTraining, write_summary
from .reproducibility import drop_from, seed_of_step
from .resume_eval import FinishedVideos, SkipFinished, fingerprint
from .solver import build_optimizer
from .step import StepTrainer, share_out


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


class Trainer(DefaultTrainer):
    """Trains and evaluates what the config says, with checkpoints, TensorBoard and metrics.json."""

    def __init__(self, cfg: CfgNode):
        """
        Args:
            cfg: the whole config.

        Raises:
            InputError: if the config has a value for training that cannot be used.
        """
        cfg = share_out(cfg, comm.get_world_size())
        step_trainer = partial(
            StepTrainer,
            passes=cfg.SOLVER.ACCUMULATE,
            mixed_precision=cfg.SOLVER.AMP.ENABLED,
            device=torch.device(cfg.MODEL.DEVICE).type,
        )
        replaced: dict[str, Any] = {
            "DetectionCheckpointer": Checkpointer,
            "SimpleTrainer": step_trainer,
            "AMPTrainer": step_trainer,
        }
        if cfg.MODEL.DEVICE == "cpu":
            # Detectron2 names a GPU to torch's wrapper for many processes, also where there is
            # none.
            replaced["create_ddp_model"] = partial(defaults.create_ddp_model, device_ids=None)
        with ExitStack() as stack:
            for name, replacement in replaced.items():
                stack.enter_context(mock.patch.object(defaults, name, replacement))
            super().__init__(cfg)

    def resume_or_load(self, resume: bool = True) -> None:
        """As in the base class; data, random numbers and ``metrics.json`` go on where they were."""
        super().resume_or_load(resume)
        if self.start_iter:
            stream = stream_of(self._trainer.data_loader)
            stream.first_batch = self.start_iter * self.cfg.SOLVER.ACCUMULATE
            if comm.is_main_process():
                drop_from(Path(self.cfg.OUTPUT_DIR) / "metrics.json", self.start_iter)

    def before_train(self) -> None:
        """As in the base class."""
        self._began = time.perf_counter()
        super().before_train()

    def after_train(self) -> None:
        """As in the base class; then, also if the last evaluation fails, the summary."""
        try:
            super().after_train()
        finally:
            if comm.is_main_process():
                write_summary(self, time.perf_counter() - self._began)

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
        """Those of Detectron2, and what there is to watch; with ``SOLVER.EMA_DECAY`` averaged
        weights, which are then evaluated and saved.

        Raises:
            InputError: if that has a value that cannot be used.
        """
        hooks = super().build_hooks()
        # After the timer, whose figures it reads, and before the writers of what it tells.
        hooks.insert(1, WatchTraining())
        if self.cfg.SOLVER.EMA_DECAY:
            average = WeightAverage(self.checkpointer.model, self.cfg.SOLVER.EMA_DECAY)
            self.checkpointer.averaged = average.averaged
            evaluation = EvalHook(
                self.cfg.TEST.EVAL_PERIOD, partial(self._evaluate, average.averaged)
            )
            hooks = [evaluation if isinstance(hook, EvalHook) else hook for hook in hooks]
            # Before that which saves.
            hooks.insert(0, average)
        return [*hooks, ProgressBar()] if comm.is_main_process() else hooks

    def _evaluate(self, model: torch.nn.Module) -> OrderedDict[str, Any]:
        # By this name the base class looks for TEST.EXPECTED_RESULTS.
        self._last_eval_results = self.test(self.cfg, model)
        return self._last_eval_results

    @classmethod
    def build_model(cls, cfg: CfgNode) -> torch.nn.Module:
        """As in the base class, with the parts of ``SOLVER.FROZEN`` frozen.

        Raises:
            InputError: if the model lacks one of them.
        """
        model = super().build_model(cfg)
        freeze(model, cfg.SOLVER.FROZEN)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        """See ``solver``."""
        return build_optimizer(cfg, model)

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
