"""Video AP and AR as a Detectron2 evaluator, and the file that the servers take."""

import itertools
import json
import logging
import math
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..evaluation import evaluate, format_table, load_json
from ..inference.results import as_results


class YTVISEvaluator(DatasetEvaluator):
    """Collects the tracks of all videos, writes ``results.json`` and ``results.zip``, and scores
    them if the annotation file has annotations."""

    def __init__(self, dataset_name: str, output_dir: str):
        """
        Args:
            dataset_name: a registered data set.
            output_dir: where to write.
        """
        self._metadata = MetadataCatalog.get(dataset_name)
        self._output_dir = Path(output_dir)
        self._results: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forget all results."""
        self._results = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Add the tracks of some videos.

        Args:
            inputs: records with ``video_id``.
            outputs: the model's outputs for them.
        """
        to_dataset_id = {v: k for k, v in self._metadata.thing_dataset_id_to_contiguous_id.items()}
        for video, output in zip(inputs, outputs, strict=True):
            self._results += as_results(video["video_id"], output, to_dataset_id)

    def evaluate(self) -> "OrderedDict[str, Any] | None":
        """Write and score. Figures are percent, NaN where nothing can be counted.

        Returns:
            ``{"segm": {"AP": ..., ...}}`` on the main process, empty where there are no
            annotations to score against.
        """
        gathered = comm.gather(self._results, dst=0)
        if not comm.is_main_process():
            return None
        results = list(itertools.chain(*gathered))
        write_results(results, self._output_dir)
        ground_truth = load_json(self._metadata.json_file)
        logger = logging.getLogger(__name__)
        if not ground_truth.get("annotations"):
            logger.warning(
                "%s has no annotations (those of public validation and test sets are hidden): "
                "nothing to score. Submit %s to the server.",
                self._metadata.json_file,
                self._output_dir / "results.zip",
            )
            return OrderedDict()
        metrics = evaluate(ground_truth, results)
        logger.info("Video instance segmentation (percent):\n%s", format_table(metrics))
        figures = metrics.as_dict().items()
        return OrderedDict(segm={k: math.nan if v is None else v for k, v in figures})


def write_results(results: list[dict[str, Any]], folder: Path) -> None:
    """Write ``results.json`` and ``results.zip`` (that file alone), each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "results.json.partial"
    partial.write_text(json.dumps(results))
    partial_zip = folder / "results.zip.partial"
    with zipfile.ZipFile(partial_zip, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(partial, "results.json")
    os.replace(partial, folder / "results.json")
    os.replace(partial_zip, folder / "results.zip")
