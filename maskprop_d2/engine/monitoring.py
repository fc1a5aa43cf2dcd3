"""Monitoring a training: metrics, a progress bar, and a summary at the end."""

import datetime
import logging
import resource
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from tqdm import tqdm

from ..data.stream import get_stream
from ..files import atomic_file
from .failures import message_in_one_line

PERIOD = 20
"""Iterations between two lines of ``metrics.json``, as in Detectron2."""
IOU = "propagation_iou/"
"""Prefix of the metrics by distance in frames."""
SLOW_DATA = 0.2
"""Share of the time spent waiting for data above which the summary gives advice."""


class ProgressBar(HookBase):
    """A progress bar over the iterations, if standard error is a terminal."""

    def before_train(self) -> None:
        self._bar = tqdm(
            total=self.trainer.max_iter,
            initial=self.trainer.start_iter,
            desc="training",
            unit="it",
            disable=None,
        )

    def after_step(self) -> None:
        self._bar.update()

    def after_train(self) -> None:
        self._bar.close()


class TrainingMetrics(HookBase):
    """Adds the metrics of docs/monitoring.md, over all processes, to the storage.

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


def write_summary(trainer: Any, seconds: float) -> None:
    """Log a summary of a training that has ended, also by an error or Ctrl-C, and write it to
    ``OUTPUT_DIR/summary.md``.

    Args:
        trainer: the trainer.
        seconds: its wall time.
    """
    lines = summarize(trainer, seconds, sys.exc_info()[1])
    logger = logging.getLogger(__name__)
    logger.info("Summary of the training:\n%s", "\n".join(lines))
    try:
        with atomic_file(Path(trainer.cfg.OUTPUT_DIR) / "summary.md") as partial:
            partial.write_text("\n".join(["# Training", "", *lines, ""]))
    except OSError as error:
        # Must not hide the error that ended the training.
        logger.warning("The summary cannot be written: %s", error)


def summarize(trainer: Any, seconds: float, error: BaseException | None) -> list[str]:
    """The summary as items of a Markdown list.

    Args:
        trainer, seconds: as for :func:`write_summary`.
        error: what ended the training early, if anything.
    """
    storage = trainer.storage
    histories = storage.histories()
    first, last = trainer.start_iter, min(trainer.iter, trainer.max_iter)
    lines = [
        f"- end: {_describe(error) if error else 'finished'}",
        f"- iterations: {first} to {last} of {trainer.max_iter}",
        f"- wall time: {datetime.timedelta(seconds=round(seconds))}",
    ]
    if "time" in histories and "data_time" in histories:
        total, data = (histories[x].median(1000) for x in ("time", "data_time"))
        lines.append(
            f"- time per iteration: {total:.3f} s, of which {data:.3f} s waiting for data and "
            f"{total - data:.3f} s computing (medians of the last 1000)"
        )
        if histories["data_share"].median(1000) > SLOW_DATA:
            lines[-1] += ": raise DATALOADER.NUM_WORKERS"
    if "peak_memory_mb" in histories:
        lines.append(f"- peak memory: {histories['peak_memory_mb'].latest():.0f} MB")
    losses = [f"{x} {h.median(PERIOD):.4g}" for x, h in histories.items() if "loss" in x]
    if losses:
        lines.append(f"- losses (medians of the last {PERIOD}): {', '.join(losses)}")
    # Averaged over several periods, since one has few clips of some distances.
    iou = {x.removeprefix(IOU): h.avg(5) for x, h in histories.items() if x.startswith(IOU)}
    if iou:
        by_distance = sorted(iou.items(), key=lambda item: (len(item[0]), item[0]))
        text = ", ".join(f"{distance}: {value:.3f}" for distance, value in by_distance)
        lines.append(f"- propagation IoU by distance in frames: {text}")
    for name, (value, iteration) in storage.latest().items():
        if name.endswith("/AP"):
            lines.append(f"- {name}: {value:.2f} after {min(iteration + 1, last)} iterations")
    if "skipped_samples" in histories and histories["skipped_samples"].latest():
        number = histories["skipped_samples"].latest()
        lines.append(f"- samples skipped because a frame could not be read: {number:.0f}")
    if trainer.checkpointer.has_checkpoint():
        lines.append(f"- weights: {trainer.checkpointer.get_checkpoint_file()}")
    return lines


def _describe(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return message_in_one_line(error)
