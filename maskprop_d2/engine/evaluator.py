"""Video AP and AR as a Detectron2 evaluator, and the file that the servers take."""

import itertools
import logging
import math
from collections import OrderedDict
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..evaluation import evaluate, format_table
from ..ytvis import load_json
from ..ytvis.writing import tracks_to_results, write_results
from .resume_eval import FinishedVideos


class YTVISEvaluator(DatasetEvaluator):
    """Collects the tracks of all videos, writes ``results.json`` and ``results.zip``, and scores
    them if the annotation file has annotations."""

    def __init__(self, dataset_name: str, finished: FinishedVideos):
        """
        Args:
            dataset_name: a registered data set.
            finished: keeps the results until they are whole; its folder is where to write.
        """
        self._metadata = MetadataCatalog.get(dataset_name)
        self._results_file = finished.folder / "results.json"
        self._finished = finished

    def reset(self) -> None:
        """Begin, with what an evaluation that was stopped has left."""
        self._finished.find()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any] | None]) -> None:
        """Add the tracks of some videos.

        Args:
            inputs: records with ``video_id``.
            outputs: the model's outputs for them, None for those that are finished already.
        """
        to_dataset_id = {v: k for k, v in self._metadata.thing_dataset_id_to_contiguous_id.items()}
        for video, output in zip(inputs, outputs, strict=True):
            if output is not None:
                results = tracks_to_results(video["video_id"], output, to_dataset_id)
                self._finished.add(video["video_id"], results)

    def evaluate(self) -> "OrderedDict[str, Any] | None":
        """Write and score. Figures are percent, NaN where nothing can be counted.

        Returns:
            ``{"segm": {"AP": ..., ...}}`` on the main process, empty where there are no
            annotations to score against.
        """
        gathered = comm.gather(self._finished.results, dst=0)
        if not comm.is_main_process():
            return None
        results = list(itertools.chain(*gathered))
        # Whatever the number of processes, and however often it was stopped.
        results.sort(key=lambda x: x["video_id"])
        write_results(results, self._results_file, archive=True)
        self._finished.remove()
        ground_truth = load_json(self._metadata.json_file)
        logger = logging.getLogger(__name__)
        logger.info("Results: %s, and for a server results.zip beside it", self._results_file)
        if not results:
            logger.warning("No object was found in any video: servers refuse results without one.")
        if not ground_truth.get("annotations"):
            logger.warning(
                "%s has no annotations (those of public validation and test sets are hidden): "
                "nothing to score. Submit %s to the server.",
                self._metadata.json_file,
                self._results_file.with_suffix(".zip"),
            )
            return OrderedDict()
        metrics = evaluate(ground_truth, results)
        logger.info("Video instance segmentation (percent):\n%s", format_table(metrics))
        figures = metrics.as_dict().items()
        return OrderedDict(segm={k: math.nan if v is None else v for k, v in figures})
