"""Detectron2's default trainer for videos."""

import logging
import time
import weakref
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase, create_ddp_model
from detectron2.engine.hooks import EvalHook
from detectron2.evaluation import COCOEvaluator, inference_on_dataset, print_csv_format
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from detectron2.utils.logger import setup_logger
from tqdm import tqdm

from ..data import build_image_test_loader, build_test_loader, build_train_loader
from ..data.stream import get_stream
from .checkpoint import Checkpointer
from .evaluator import YTVISEvaluator
from .failures import explain_failures
from .freezing import freeze
from .loggers import WRITERS, check_loggers
from .monitoring import ProgressBar, TrainingMetrics, write_summary
from .reproducibility import iteration_seed, truncate_metrics
from .resume_eval import ResumableEvaluator, SkipFinished, fingerprint
from .solver import WeightAverage, build_optimizer, scale_schedule
from .step import StepTrainer


class Trainer(DefaultTrainer):
    """Trains and evaluates a model as its config says."""

    def __init__(self, cfg: CfgNode):
        """
        Args:
            cfg: the whole config.

        Raises:
            InputError: if a value of the config cannot be used.
        """
        # In place of DefaultTrainer.__init__, for our own Checkpointer and StepTrainer.
        TrainerBase.__init__(self)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            setup_logger()
        check_loggers(cfg.LOGGERS)
        self.cfg = cfg = scale_schedule(cfg, comm.get_world_size())
        device = torch.device(cfg.MODEL.DEVICE).type
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        device_ids = None if device == "cpu" else [comm.get_local_rank()]
        self._trainer = StepTrainer(
            create_ddp_model(model, broadcast_buffers=False, device_ids=device_ids),
            data_loader,
            optimizer,
            passes=cfg.SOLVER.ACCUMULATE,
            mixed_precision=cfg.SOLVER.AMP.ENABLED,
            device=device,
        )
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """Load a checkpoint. When resuming, also continue the data stream and ``metrics.json``."""
        super().resume_or_load(resume)
        if self.start_iter:
            stream = get_stream(self.data_loader)
            stream.first_batch = self.start_iter * self.cfg.SOLVER.ACCUMULATE
            if comm.is_main_process():
                truncate_metrics(Path(self.cfg.OUTPUT_DIR) / "metrics.json", self.start_iter)

    def before_train(self) -> None:
        self._start_time = time.perf_counter()
        super().before_train()

    def after_train(self) -> None:
        """Run the hooks; then write a summary, even if the last evaluation fails."""
        try:
            super().after_train()
        finally:
            if comm.is_main_process():
                write_summary(self, time.perf_counter() - self._start_time)

    def run_step(self) -> None:
        """Run a step whose random numbers depend only on the seed, the iteration and the process.

        Raises:
            TrainingError: if training cannot continue.
        """
        if self.cfg.SEED >= 0:
            torch.manual_seed(iteration_seed(self.cfg.SEED, self.iter, comm.get_rank()))
        with explain_failures(self.iter):
            super().run_step()

    def after_step(self) -> None:
        """
        Raises:
            TrainingError: if training cannot continue.
        """
        with explain_failures(self.iter):
            super().after_step()

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's hooks and ours. With ``SOLVER.EMA_DECAY``, averaged weights are evaluated
        and saved.

        Raises:
            InputError: if ``SOLVER.EMA_DECAY`` is out of range.
        """
        hooks = super().build_hooks()
        # After the timer, whose values it reads, and before the writers.
        hooks.insert(1, TrainingMetrics())
        if self.cfg.SOLVER.EMA_DECAY:
            average = WeightAverage(self.checkpointer.model, self.cfg.SOLVER.EMA_DECAY)
            self.checkpointer.averaged = average.averaged
            evaluation = EvalHook(
                self.cfg.TEST.EVAL_PERIOD, partial(self._evaluate, average.averaged)
            )
            hooks = [evaluation if isinstance(hook, EvalHook) else hook for hook in hooks]
            # Before the checkpointer.
            hooks.insert(0, average)
        return [*hooks, ProgressBar()] if comm.is_main_process() else hooks

    def build_writers(self) -> list[EventWriter]:
        """Detectron2's writers and those of ``LOGGERS``."""
        trainer = weakref.proxy(self)
        is_resumed = lambda: trainer.start_iter > 0  # noqa: E731
        services = [WRITERS[name](self.cfg, is_resumed) for name in self.cfg.LOGGERS]
        # They read images, which TensorBoard's writer clears.
        return [*services, *super().build_writers()]

    def _evaluate(self, model: torch.nn.Module) -> OrderedDict[str, Any]:
        # The base class compares this with TEST.EXPECTED_RESULTS.
        self._last_eval_results = self.test(self.cfg, model)
        return self._last_eval_results

    @classmethod
    def build_model(cls, cfg: CfgNode) -> torch.nn.Module:
        """A model with the parts of ``SOLVER.FROZEN`` frozen.

        Raises:
            InputError: if the model has no such part.
        """
        model = super().build_model(cfg)
        freeze(model, cfg.SOLVER.FROZEN)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """A test loader, with a progress bar if standard error is a terminal."""
        videos = _takes_videos(cfg)
        loader = (build_test_loader if videos else build_image_test_loader)(cfg, dataset_name)
        disable = None if comm.is_main_process() else True
        unit = "video" if videos else "image"
        return tqdm(loader, desc=dataset_name, unit=unit, disable=disable)

    @classmethod
    def test(cls, cfg: CfgNode, model: torch.nn.Module) -> OrderedDict[str, Any]:
        """Evaluate on ``DATASETS.TEST``: MaskProp on videos, resuming interrupted evaluations; any
        other model on images with COCO's annotations.

        Results go to ``OUTPUT_DIR/inference``, or to a folder per dataset in it if there are
        several.

        Returns:
            the metrics of the dataset, or of each dataset by its name.
        """
        metrics: OrderedDict[str, Any] = OrderedDict()
        for name in cfg.DATASETS.TEST:
            folder = Path(cfg.OUTPUT_DIR) / "inference"
            if len(cfg.DATASETS.TEST) > 1:
                folder /= name
            loader = cls.build_test_loader(cfg, name)
            if _takes_videos(cfg):
                json_file = MetadataCatalog.get(name).json_file
                evaluator = ResumableEvaluator(
                    YTVISEvaluator(name, folder), fingerprint(cfg, model, json_file)
                )
                tested = SkipFinished(model, evaluator)
            else:
                tested, evaluator = model, COCOEvaluator(name, output_dir=str(folder))
            metrics[name] = inference_on_dataset(tested, loader, evaluator)
            if comm.is_main_process():
                print_csv_format(metrics[name])
        return metrics[name] if len(metrics) == 1 else metrics


def _takes_videos(cfg: CfgNode) -> bool:
    """Whether the model is a MaskProp; Detectron2's models take images."""
    return cfg.MODEL.META_ARCHITECTURE == "MaskProp"
