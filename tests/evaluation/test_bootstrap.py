"""Resampled figures against those of files in which videos are repeated."""

from pathlib import Path

import pytest

from maskprop_d2.evaluation import evaluate, hota_measures
from maskprop_d2.evaluation.bootstrap import draw_weights, resampled_figures
from maskprop_d2.ytvis import load_json

GOLDEN = Path(__file__).parent / "golden"


def repeated(ground_truth, results, weights):
    """The files with each video as often as its weight says."""
    videos, annotations, predictions = [], [], []
    ids = sorted(x["id"] for x in ground_truth["videos"])
    by_id = {x["id"]: x for x in ground_truth["videos"]}
    for video_id, weight in zip(ids, weights, strict=True):
        for _ in range(weight):
            new = len(videos) + 1
            videos.append({**by_id[video_id], "id": new})
            for found, entries in (
                (annotations, ground_truth["annotations"]),
                (predictions, results),
            ):
                found += [{**x, "video_id": new} for x in entries if x["video_id"] == video_id]
    annotations = [{**x, "id": i} for i, x in enumerate(annotations, 1)]
    return {**ground_truth, "videos": videos, "annotations": annotations}, predictions


@pytest.mark.parametrize("name", ["dev_random_a", "dev_random_b", "dev_idswap"])
def test_weights_equal_repeated_videos(name):
    truth, results = (load_json(GOLDEN / name / f"{x}.json.gz") for x in ("gt", "results"))
    # Without ties: those between copies of a video are ranked in another order.
    results = [{**x, "score": x["score"] + 1e-6 * i} for i, x in enumerate(results)]
    metrics = evaluate(truth, results, hota=True)
    weights = draw_weights(len(metrics.videos), 6)
    assert (weights.sum(1) == len(metrics.videos)).all()
    weights[0] = 1
    figures = resampled_figures(metrics, weights)
    for i, row in enumerate(weights):
        again = evaluate(*repeated(truth, results, row), hota=True)
        expected = {**again.as_dict(), **hota_measures(again)}
        for key, values in figures.items():
            assert values[i] == pytest.approx(expected[key], abs=1e-8), key
