"""Evaluation of one method's results."""

from dataclasses import dataclass
from typing import Any

from maskprop_d2.evaluation import identity_measures, reappearance_measures
from maskprop_d2.evaluation.hota_figures import hota_measures
from maskprop_d2.evaluation.identity import FramePairs, measures_at
from maskprop_d2.evaluation.predictions import read_tracks
from maskprop_d2.evaluation.tracks import Video
from maskprop_d2.evaluation.video_ap import score_tracks

COLUMNS = ("AP", "AP50", "AP75", "AR1", "AR10")
IDENTITY_COLUMNS = {
    "IDF1": "IDF1",
    "ID_switches": "ID switches",
    "reappearances_found": "reappearances found",
    "reappearances_kept": "kept",
}


@dataclass
class Scored:
    """The evaluated results of one method.

    Attributes:
        videos: ground truth and predictions by video id.
        pairs: matches of both, frame by frame, by video id and category id.
        figures: a row of the table, in percent except the number of ID switches.
        threshold: score from which on predictions count for identity measures.
    """

    videos: dict[int, Video]
    pairs: dict[int, dict[int, FramePairs]]
    figures: dict[str, float | None]
    threshold: float

    def identity(self, video_id: int) -> dict[str, float | int]:
        """IDF1 in percent and the number of ID switches in one video."""
        return measures_at(list(self.pairs[video_id].values()), self.threshold)


def score(ground_truth: dict[str, Any], results: list[dict[str, Any]]) -> Scored:
    """Evaluate results in YouTube-VIS format."""
    videos = read_tracks(ground_truth, results, ("ground truth", "results"))
    categories = {x["id"]: x["name"] for x in ground_truth["categories"]}
    metrics = score_tracks(videos, categories, identity=True, hota=True)
    pairs = {x.video_id: x.frame_pairs for x in metrics.videos}
    identity = identity_measures(x for video in pairs.values() for x in video.values())
    identity |= reappearance_measures(x for video in metrics.videos for x in video.reappearances)
    figures = {name: metrics.as_dict()[name] for name in COLUMNS}
    figures["HOTA"] = hota_measures(metrics)["HOTA"]
    figures |= {label: identity[name] for name, label in IDENTITY_COLUMNS.items()}
    threshold = identity["score_threshold"] or 0.0
    return Scored({x.id: x for x in videos}, pairs, figures, threshold)
