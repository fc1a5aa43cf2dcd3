"""Video AP and AR as a Detectron2 evaluator."""

import itertools
import logging
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..evaluation import evaluate, format_table
from ..ytvis import load_json
from ..ytvis.writing import tracks_to_results, write_results


class YTVISEvaluator(DatasetEvaluator):
    """Evaluate tracks by video AP and AR, and write them in YouTube-VIS's results format.

    ``output_dir`` receives ``results.json``, and ``results.zip`` for the evaluation servers. If the
    annotation file has no annotations, nothing is scored.
    """

    def __init__(self, dataset_name: str, output_dir: str | Path):
        """
        Args:
            dataset_name: a registered dataset.
            output_dir: folder for the results, created if missing.
        """
        self._metadata = MetadataCatalog.get(dataset_name)
        self.output_dir = Path(output_dir)
        self.results: list[dict[str, Any]] = []
        """Results entries of the videos that this process has seen."""

    def reset(self) -> None:
        self.results = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Add the tracks of some videos.

        Args:
            inputs: records with ``video_id``.
            outputs: ``VideoTracks.as_dict()`` of each.
        """
        to_dataset_id = {v: k for k, v in self._metadata.thing_dataset_id_to_contiguous_id.items()}
        for video, output in zip(inputs, outputs, strict=True):
            self.results += tracks_to_results(video["video_id"], output, to_dataset_id)

    def evaluate(self) -> "OrderedDict[str, Any] | None":
        """Gather the results of all processes, write and score them.

        Returns:
            ``{"segm": {"AP": ..., ...}}`` in percent on the main process, NaN where there is no
            ground truth; empty if the dataset has no annotations.
        """
        gathered = comm.gather(self.results, dst=0)
        if not comm.is_main_process():
            return None
        # The same file for any number of processes.
        results = sorted(itertools.chain(*gathered), key=lambda x: x["video_id"])
        self.output_dir.mkdir(parents=True, exist_ok=True)
        path = self.output_dir / "results.json"
        write_results(results, path, archive=True)
        logger = logging.getLogger(__name__)
        logger.info("Results: %s, and results.zip beside it for the evaluation server", path)
        if not results:
            logger.warning("No object was found in any video. Servers refuse empty results.")
        ground_truth = load_json(self._metadata.json_file)
        if not ground_truth.get("annotations"):
            logger.warning(
                "%s has no annotations (those of public validation and test sets are hidden): "
                "nothing to score. Submit %s to the server.",
                self._metadata.json_file,
                path.with_suffix(".zip"),
            )
            return OrderedDict()
        metrics = evaluate(ground_truth, results)
        logger.info("Video instance segmentation (percent):\n%s", format_table(metrics))
        values = metrics.as_dict().items()
        return OrderedDict(segm={k: math.nan if v is None else v for k, v in values})
