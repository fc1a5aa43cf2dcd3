"""Evaluations that go on from where they were stopped."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm
from torch import nn

from .reproducibility import file_hash


class FinishedVideos:
    """The results of the videos that an evaluation is through with, also on disk.

    Each process adds lines to a file of its own. Another evaluation of the same model on the same
    data set finds them, be it of as many processes or not.
    """

    def __init__(self, folder: Path, fingerprint: str):
        """
        Args:
            folder: of the evaluation's results.
            fingerprint: of all that results depend on; those of another evaluation are removed.
        """
        self.folder = folder
        self._fingerprint = fingerprint
        self._file = folder / f"unfinished_{comm.get_rank()}.jsonl"
        self.results: list[dict[str, Any]] = []
        """Those of this process, of before and of now."""
        self.video_ids: set[int] = set()
        """Videos that any process is through with, as of when this evaluation began."""

    def find(self) -> None:
        """Look for an unfinished evaluation. All processes must call this together."""
        self.results = []
        found: set[int] = set()
        for path in sorted(self.folder.glob("unfinished_*.jsonl")):
            number = path.stem.removeprefix("unfinished_")
            # Files of more processes than there are now are shared among them.
            if number.isdecimal() and int(number) % comm.get_world_size() == comm.get_rank():
                for video in self._read(path):
                    if video["video_id"] not in found:
                        found.add(video["video_id"])
                        self.results += video["results"]
        # Nobody writes before everybody has read.
        self.video_ids = set().union(*comm.all_gather(found))
        if self.video_ids and comm.is_main_process():
            logging.getLogger(__name__).info(
                "Going on with an evaluation that was stopped: %d videos are done",
                len(self.video_ids),
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._file.exists():
            self._file.write_text(f"{json.dumps(self._fingerprint)}\n")

    def add(self, video_id: int, results: list[dict[str, Any]]) -> None:
        """Keep the results of one more video."""
        self.results += results
        with self._file.open("a") as file:
            file.write(f"{json.dumps({'video_id': video_id, 'results': results})}\n")

    def remove(self) -> None:
        """The evaluation is finished. Only one process needs to call this."""
        for path in self.folder.glob("unfinished_*.jsonl"):
            path.unlink(missing_ok=True)

    def _read(self, path: Path) -> list[dict[str, Any]]:
        """The videos in a file; a line that was cut off is removed, and so is the file if it is of
        another evaluation."""
        videos = []
        keep = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    value = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n") or (keep == 0 and value != self._fingerprint):
                    break
                if keep and not isinstance(value, dict):
                    break
                if keep:
                    videos.append(value)
                keep += len(line)
        if keep:
            os.truncate(path, keep)
        else:
            logging.getLogger(__name__).info(
                "Results of an evaluation of another model or data set that was stopped are removed"
            )
            path.unlink()
        return videos


class SkipFinished(nn.Module):
    """A model that gives None for videos that an evaluation is through with."""

    def __init__(self, model: nn.Module, finished: FinishedVideos):
        super().__init__()
        self.model = model
        self.finished = finished

    def forward(self, videos: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
        """The model's outputs for some videos."""
        return [
            None if x["video_id"] in self.finished.video_ids else self.model([x])[0] for x in videos
        ]


def fingerprint(cfg: Any, model: nn.Module, json_file: str) -> str:
    """Of all that an evaluation's results depend on: weights, config, data set.

    Args:
        cfg: the whole config.
        model: with its weights.
        json_file: of the data set.
    """
    config = cfg.MODEL.clone()
    config.defrost()
    # The weights themselves count.
    config.WEIGHTS = ""
    parts = [config.dump(), cfg.INPUT.dump(), cfg.TEST.dump(), file_hash(json_file)]
    digest = hashlib.sha256("\n".join(parts).encode())
    # Not as many processes wrap it.
    weights = getattr(model, "module", model).state_dict()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
