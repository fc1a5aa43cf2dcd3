"""Resampled figures against those of files in which videos are repeated."""

from pathlib import Path

import pytest
from small_ytvis import HEIGHT, WIDTH, track

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


def test_categories_that_are_not_drawn_do_not_count():
    """Perfect tracks of a category in each video: all resamples are perfect."""
    size = {"height": HEIGHT, "width": WIDTH}
    videos = [{"id": i, "file_names": ["0.jpg"], **size} for i in range(1, 9)]
    categories = [{"id": i, "name": f"kind {i}"} for i in range(1, 9)]
    annotations = [track(i, i, [(0, 0, 10, 10)], id=i) for i in range(1, 9)]
    truth = {"videos": videos, "categories": categories, "annotations": annotations}
    results = [track(i, i, [(0, 0, 10, 10)], score=0.9) for i in range(1, 9)]
    figures = resampled_figures(evaluate(truth, results, hota=True), draw_weights(8, 20))
    for name, values in figures.items():
        assert values == pytest.approx(100), name
    # A category without objects and predictions counts as in trackeval.
    truth["categories"] = [*categories, {"id": 9, "name": "kind 9"}]
    metrics = evaluate(truth, results, hota=True)
    figures = resampled_figures(metrics, draw_weights(8, 20))
    assert figures["HOTA"][0] <= hota_measures(metrics)["HOTA"] == pytest.approx(100 * 8 / 9)


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
