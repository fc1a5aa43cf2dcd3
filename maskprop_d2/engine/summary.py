"""The summary at the end of a training."""

import datetime
import logging
import sys
from pathlib import Path
from typing import Any

from ..files import atomic_file
from .hooks import IOU, PERIOD

SLOW_DATA = 0.2
"""Share of the time spent waiting for data above which the summary gives advice."""


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
    return " ".join(f"{error or type(error).__name__}".split())
