"""Confidence intervals: whether they contain the truth, and what a comparison says."""

import numpy as np
import pytest
from small_ytvis import HEIGHT, WIDTH, track

from maskprop_d2.errors import AnnotationError
from maskprop_d2.evaluation import evaluate
from maskprop_d2.evaluation.comparison import compare, draw_figures, interval
from maskprop_d2.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, Matches
from maskprop_d2.evaluation.scoring import VideoMatches
from maskprop_d2.evaluation.video_ap import Metrics

BOX, SHIFTED, FAR = (0, 0, 10, 10), (2, 0, 12, 10), (18, 8, 28, 18)


def random_matches(rng, ious):
    """The matches of the predictions with these IoUs, and of some false positives."""
    false = rng.poisson(0.7)
    scores = np.concatenate([ious + rng.normal(0, 0.15, len(ious)), rng.normal(0.45, 0.2, false)])
    order = np.argsort(-scores)
    ious = np.concatenate([ious, np.zeros(false)])[order]
    matched = np.tile(ious >= IOU_THRESHOLDS[:, None], (len(AREA_RANGES), 1, 1))
    return scores[order], matched


def random_models(rng, videos):
    """Metrics of two models on videos that are hard for both or for neither; the second model is a
    little better."""
    models = [], []
    for video_id in range(videos):
        objects = rng.integers(1, 3)
        ease = rng.normal(0.75, 0.07, objects) + rng.normal(0, 0.04)
        for model, matches in enumerate(models):
            ious = np.clip(ease + 0.04 * model + rng.normal(0, 0.08, objects), 0, 1)
            scores, matched = random_matches(rng, ious[rng.random(objects) < 0.85])
            found = Matches(
                scores, matched, np.zeros_like(matched), np.full(4, objects), np.empty(0)
            )
            matches.append(VideoMatches(video_id, {1: found}))
    return [Metrics(np.empty(0), np.empty(0), {1: "cat"}, x) for x in models]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("draws", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_intervals_contain_the_truth_in_95_of_100_sets(draws):
    def drawn(rng, videos, resamples, seed):
        first, second = (draw_figures(x, resamples, seed)["AP"] for x in random_models(rng, videos))
        return second, second - first

    truth = [x[0] for x in drawn(np.random.default_rng(1), 10_000, 0, 0)]
    covered = np.zeros(2)
    for seed in range(draws):
        for i, values in enumerate(drawn(np.random.default_rng(seed), 60, 200, seed)):
            found = interval(values, 60)
            covered[i] += found.low <= truth[i] <= found.high
    print("covered:", covered / draws)
    assert (covered / draws >= 0.93).all() and (covered / draws <= 0.97).all(), covered / draws


@pytest.fixture
def ten_videos():
    """Videos of one frame with one cat each."""
    return {
        "videos": [
            {"id": i, "height": HEIGHT, "width": WIDTH, "file_names": ["0.jpg"]}
            for i in range(1, 11)
        ],
        "categories": [{"id": 4, "name": "cat"}],
        "annotations": [track(i, 4, [BOX], id=i) for i in range(1, 11)],
    }


def test_a_better_model(ten_videos):
    """The second model finds the cat of all videos exactly, the first misplaces each a little, in
    video 7 by far."""
    better = [track(i, 4, [BOX], score=0.5) for i in range(1, 11)]
    worse = [track(i, 4, [FAR if i == 7 else SHIFTED], score=0.5) for i in range(1, 11)]
    models = {"worse": worse, "better": better}
    metrics = {k: evaluate(ten_videos, v, hota=True) for k, v in models.items()}
    found = compare(metrics, 200)
    assert list(found.figures) == ["worse", "better"] and list(found.differences) == ["better"]
    for name, measured in metrics.items():
        assert found.figures[name]["AP"].value == pytest.approx(measured.as_dict()["AP"])
    perfect = found.figures["better"]["AP"]
    assert (perfect.low, perfect.high) == (pytest.approx(100), pytest.approx(100))
    difference = found.differences["better"]["AP"]
    assert difference.excludes_zero and difference.low < difference.value < difference.high
    assert next(iter(found.gains)) == 7


def test_equal_models_do_not_differ(ten_videos):
    results = [track(i, 4, [BOX], score=0.5) for i in range(1, 6)]
    metrics = {x: evaluate(ten_videos, results, hota=True) for x in ("first", "second")}
    for x in compare(metrics, 200).differences["second"].values():
        assert (x.low, x.value, x.high) == (0, 0, 0) and not x.excludes_zero


def test_too_little_to_compare(ten_videos):
    nothing = evaluate({**ten_videos, "annotations": []}, [], hota=True)
    with pytest.raises(AnnotationError, match="no annotated objects"):
        compare({"any": nothing})
    ten_videos["videos"] = ten_videos["videos"][:1]
    ten_videos["annotations"] = ten_videos["annotations"][:1]
    with pytest.raises(AnnotationError, match="at least two videos"):
        compare({"any": evaluate(ten_videos, [], hota=True)})
