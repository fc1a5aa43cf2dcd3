"""Resuming an interrupted evaluation."""

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from ..files import atomic_file
from .evaluator import YTVISEvaluator


class ResumableEvaluator(DatasetEvaluator):
    """A ``YTVISEvaluator`` that saves the results of each finished video, and continues an
    interrupted evaluation of the same model on the same dataset, with any number of processes.

    Results are saved in ``output_dir/unfinished_FINGERPRINT/VIDEO_ID.json``. Wrap the model in
    ``SkipFinished``.
    """

    def __init__(self, evaluator: YTVISEvaluator, fingerprint: str):
        """
        Args:
            evaluator: the evaluator to resume.
            fingerprint: identifies what the results depend on, as ``fingerprint`` below computes
                it. Results that were saved with another fingerprint are deleted.
        """
        self.evaluator = evaluator
        self.finished: set[int] = set()
        """Ids of the videos that any process had finished before the last reset."""
        self._folder = evaluator.output_dir / f"unfinished_{fingerprint}"

    def reset(self) -> None:
        """Load the results of an interrupted evaluation. All processes must call this together."""
        self.evaluator.reset()
        if comm.is_main_process():
            self._delete(keep=self._folder)
        # Each video is loaded by the first process that sees its file: a machine may see only its
        # own files.
        by_rank = comm.all_gather({int(path.stem) for path in self._folder.glob("*.json")})
        *lower_ranks, saved = by_rank[: comm.get_rank() + 1]
        for video_id in sorted(saved.difference(*lower_ranks)):
            self.evaluator.results += json.loads(self._file(video_id).read_text())
        self.finished = set().union(*by_rank)
        if self.finished and comm.is_main_process():
            logging.getLogger(__name__).info(
                "Resuming an interrupted evaluation: %d videos are finished", len(self.finished)
            )

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any] | None]) -> None:
        """Add and save the tracks of some videos. The output of a finished video is None."""
        for video, output in zip(inputs, outputs, strict=True):
            if output is not None:
                start = len(self.evaluator.results)
                self.evaluator.process([video], [output])
                with atomic_file(self._file(video["video_id"])) as partial:
                    partial.write_text(json.dumps(self.evaluator.results[start:]))

    def evaluate(self) -> Any:
        """Evaluate all videos, and delete the saved results."""
        metrics = self.evaluator.evaluate()
        if comm.is_main_process():
            self._delete()
        # The next evaluation must not find these results.
        comm.synchronize()
        return metrics

    def _file(self, video_id: int) -> Path:
        return self._folder / f"{video_id}.json"

    def _delete(self, keep: Path | None = None) -> None:
        for folder in self.evaluator.output_dir.glob("unfinished_*"):
            if folder != keep:
                shutil.rmtree(folder)


class SkipFinished(nn.Module):
    """A model that returns None for the videos that an evaluator has finished."""

    def __init__(self, model: nn.Module, evaluator: ResumableEvaluator):
        super().__init__()
        self.model = model
        self._evaluator = evaluator

    def forward(self, videos: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
        finished = self._evaluator.finished
        return [None if x["video_id"] in finished else self.model([x])[0] for x in videos]


def fingerprint(cfg: Any, model: nn.Module, json_file: str) -> str:
    """A hash of what the results of an evaluation depend on: weights, config and annotations.

    Args:
        cfg: the whole config.
        model: the model with its weights.
        json_file: the dataset's annotation file.
    """
    config = cfg.MODEL.clone()
    config.defrost()
    # The weights themselves are hashed.
    config.WEIGHTS = ""
    digest = hashlib.sha256("".join(x.dump() for x in (config, cfg.INPUT, cfg.TEST)).encode())
    digest.update(Path(json_file).read_bytes())
    # With and without DistributedDataParallel.
    weights = getattr(model, "module", model).state_dict()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
