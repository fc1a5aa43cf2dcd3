"""Resuming an interrupted evaluation."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from .evaluator import YTVISEvaluator
from .reproducibility import file_hash


class ResumableEvaluator(DatasetEvaluator):
    """A ``YTVISEvaluator`` that saves the results of each finished video, and continues an
    interrupted evaluation of the same model on the same data set.

    Each process appends to a file of its own, ``output_dir/unfinished_RANK.jsonl``. The number of
    processes may change when an evaluation is resumed. Use with the model in ``SkipFinished``.
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
        self._fingerprint = fingerprint
        self._file = evaluator.output_dir / f"unfinished_{comm.get_rank()}.jsonl"

    def _saved_files(self) -> list[Path]:
        return sorted(self.evaluator.output_dir.glob("unfinished_*.jsonl"))

    def reset(self) -> None:
        """Load the results of an interrupted evaluation. All processes must call this together."""
        self.evaluator.reset()
        videos: dict[int, list[dict[str, Any]]] = {}
        for path in self._saved_files():
            rank = path.stem.removeprefix("unfinished_")
            # If there were more processes than now, their files are distributed.
            if rank.isdecimal() and int(rank) % comm.get_world_size() == comm.get_rank():
                videos.update((x["video_id"], x["results"]) for x in self._read(path))
        for results in videos.values():
            self.evaluator.results += results
        # This also makes all processes wait until all have read.
        self.finished = set().union(*comm.all_gather(set(videos)))
        if self.finished and comm.is_main_process():
            logging.getLogger(__name__).info(
                "Resuming an interrupted evaluation: %d videos are finished", len(self.finished)
            )
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if not self._file.exists():
            self._file.write_text(f"{json.dumps(self._fingerprint)}\n")

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any] | None]) -> None:
        """Add and save the tracks of some videos; the output of a finished video is None."""
        for video, output in zip(inputs, outputs, strict=True):
            if output is not None:
                start = len(self.evaluator.results)
                self.evaluator.process([video], [output])
                new = {"video_id": video["video_id"], "results": self.evaluator.results[start:]}
                with self._file.open("a") as file:
                    file.write(f"{json.dumps(new)}\n")

    def evaluate(self) -> Any:
        """Evaluate all videos, and delete the saved results."""
        metrics = self.evaluator.evaluate()
        if comm.is_main_process():
            for path in self._saved_files():
                path.unlink()
        return metrics

    def _read(self, path: Path) -> list[dict[str, Any]]:
        """The videos in a file. An incomplete last line is cut off; a file with another fingerprint
        is deleted."""
        videos = []
        size = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    value = json.loads(line)
                except ValueError:
                    break
                is_valid = isinstance(value, dict) if size else value == self._fingerprint
                if not is_valid or not line.endswith(b"\n"):
                    break
                if size:
                    videos.append(value)
                size += len(line)
        if size:
            os.truncate(path, size)
        else:
            logging.getLogger(__name__).info(
                "Deleting the results of an interrupted evaluation of another model or data set"
            )
            path.unlink()
        return videos


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
    """A hash of what the results of an evaluation depend on: weights, config and annotation file.

    Args:
        cfg: the whole config.
        model: the model with its weights.
        json_file: the data set's annotation file.
    """
    config = cfg.MODEL.clone()
    config.defrost()
    # The weights themselves are hashed.
    config.WEIGHTS = ""
    parts = [config.dump(), cfg.INPUT.dump(), cfg.TEST.dump(), file_hash(json_file)]
    digest = hashlib.sha256("\n".join(parts).encode())
    # With and without DistributedDataParallel.
    weights = getattr(model, "module", model).state_dict()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
