"""Watching a training: metrics beside Detectron2's own, and a summary at its end."""

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

from ..data.stream import stream_of
from ..files import atomic_file

PERIOD = 20
"""Iterations from one line of ``metrics.json`` to the next: Detectron2's."""
IOU = "propagation_iou/"
SLOW_DATA = 0.2
"""Waiting for data longer than this share of the time is worth a word."""


class WatchTraining(HookBase):
    """Metrics of all processes together, see docs/watching.md. All of them must have this hook, the
    main one between those that measure time and those that write.

    Only once in ``PERIOD`` iterations something is asked of the device, and of other processes.
    """

    def after_step(self) -> None:
        """Put what is known of this iteration, or of the last ones, into the storage."""
        trainer = self.trainer
        latest = trainer.storage.latest()
        seconds, measured_in = latest.get("time", (0.0, -1))
        if measured_in == trainer.iter and "data_time" in latest:
            trainer.storage.put_scalar("data_share", latest["data_time"][0] / seconds)
        if (trainer.iter + 1) % PERIOD == 0 or trainer.iter == trainer.max_iter - 1:
            self._put_those_of_all()

    def _put_those_of_all(self) -> None:
        model = getattr(self.trainer.model, "module", self.trainer.model)
        left_out = stream_of(self.trainer.data_loader).mapper.left_out.value
        iou = model.propagation_monitor.pop_metrics()
        figures = comm.gather((peak_memory(model.device), left_out, iou))
        if not comm.is_main_process():
            return
        memory, left_out, iou_of_all = zip(*figures, strict=True)
        put = {"peak_memory_mb": max(memory), "samples_left_out": sum(left_out)}
        sums: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for iou in iou_of_all:
            for distance, (total, count) in iou.items():
                sums[distance] += total
                counts[distance] += count
        put.update({f"{IOU}{x}": sums[x] / counts[x] for x in sums if counts[x]})
        self.trainer.storage.put_scalars(**put, smoothing_hint=False)


def peak_memory(device: torch.device) -> float:
    """The most that tensors have taken of a GPU, or this process of the memory, in MB (2^20)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def write_summary(trainer: Any, seconds: float) -> None:
    """Some lines about a training that has ended, also by a fault or Ctrl-C: in the log, and in
    ``OUTPUT_DIR/summary.md``.

    Args:
        trainer: of which it is.
        seconds: how long it took.
    """
    lines = summarize(trainer, seconds, sys.exc_info()[1])
    logger = logging.getLogger(__name__)
    logger.info("Summary of the training:\n%s", "\n".join(lines))
    try:
        with atomic_file(Path(trainer.cfg.OUTPUT_DIR) / "summary.md") as partial:
            partial.write_text("\n".join(["# Training", "", *lines, ""]))
    except OSError as error:
        # What has ended the training, be it a full disk, is what is to be told.
        logger.warning("The summary cannot be written: %s", error)


def summarize(trainer: Any, seconds: float, error: BaseException | None) -> list[str]:
    """What is to be known of a training that has ended.

    Args:
        trainer, seconds: see :func:`write_summary`.
        error: what ended it, if it did not finish.

    Returns:
        the items of a list in Markdown.
    """
    storage = trainer.storage
    histories = storage.histories()
    first, done = trainer.start_iter, min(trainer.iter, trainer.max_iter)
    lines = [
        f"- end: {_reason(error) if error else 'finished'}",
        f"- iterations: {first} to {done} of {trainer.max_iter}",
        f"- wall time: {datetime.timedelta(seconds=round(seconds))}",
    ]
    if "time" in histories and "data_time" in histories:
        total, data = (histories[x].median(1000) for x in ("time", "data_time"))
        lines.append(
            f"- an iteration: {total:.3f} s, of which {data:.3f} s waiting for data and "
            f"{total - data:.3f} s computing (medians of the last 1000)"
        )
        if histories["data_share"].median(1000) > SLOW_DATA:
            lines[-1] += ": raise DATALOADER.NUM_WORKERS"
    if "peak_memory_mb" in histories:
        lines.append(f"- peak memory: {histories['peak_memory_mb'].latest():.0f} MB")
    losses = [f"{x} {h.median(PERIOD):.4g}" for x, h in histories.items() if "loss" in x]
    if losses:
        lines.append(f"- losses (medians of the last {PERIOD}): {', '.join(losses)}")
    # Means of so many periods, since a period has few clips of some distances.
    iou = {x[len(IOU) :]: h.avg(5) for x, h in histories.items() if x.startswith(IOU)}
    if iou:
        # In the order of distances.
        iou = [f"{x}: {iou[x]:.3f}" for x in sorted(iou, key=lambda x: (len(x), x))]
        lines.append(f"- propagation IoU by distance in frames: {', '.join(iou)}")
    for name, (value, iteration) in storage.latest().items():
        if name.endswith("/AP"):
            lines.append(f"- {name}: {value:.2f} after {min(iteration + 1, done)} iterations")
    if "samples_left_out" in histories and histories["samples_left_out"].latest():
        number = histories["samples_left_out"].latest()
        lines.append(f"- samples left out since a frame could not be read: {number:.0f}")
    if trainer.checkpointer.has_checkpoint():
        lines.append(f"- weights: {trainer.checkpointer.get_checkpoint_file()}")
    return lines


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return " ".join(f"{error or type(error).__name__}".split())
