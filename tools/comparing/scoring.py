"""Results of one method against the ground truth."""

from dataclasses import dataclass
from typing import Any

from maskprop_d2.evaluation import identity_measures
from maskprop_d2.evaluation.identity import FramePairs, measures_at
from maskprop_d2.evaluation.predictions import read_tracks
from maskprop_d2.evaluation.tracks import Video
from maskprop_d2.evaluation.video_ap import score_tracks

FIGURES = ("AP", "AP50", "AP75", "AR1", "AR10")


@dataclass
class Scored:
    """What one method's results are worth.

    Attributes:
        videos: by id, with the ground truth and the method's predictions.
        pairs: by video id and category id, where these agree.
        figures: a row of the table, in percent; ID switches are a number.
        threshold: the score of a prediction from which on its identity counts.
    """

    videos: dict[int, Video]
    pairs: dict[int, dict[int, FramePairs]]
    figures: dict[str, float | None]
    threshold: float

    def identity(self, video_id: int) -> dict[str, float | int]:
        """IDF1 in percent and the number of ID switches in one video."""
        return measures_at(list(self.pairs[video_id].values()), self.threshold)


def score(ground_truth: dict[str, Any], results: list[dict[str, Any]]) -> Scored:
    """Score results in YouTube-VIS's format."""
    videos = read_tracks(ground_truth, results, ("ground truth", "results"))
    categories = {x["id"]: x["name"] for x in ground_truth["categories"]}
    metrics = score_tracks(videos, categories, identity=True)
    pairs = {x.video_id: x.frame_pairs for x in metrics.videos}
    identity = identity_measures(x for video in pairs.values() for x in video.values())
    figures = metrics.as_dict()
    return Scored(
        videos={x.id: x for x in videos},
        pairs=pairs,
        figures={
            **{name: figures[name] for name in FIGURES},
            "IDF1": identity["IDF1"],
            "ID switches": identity["ID_switches"],
        },
        threshold=identity["score_threshold"] or 0.0,
    )
