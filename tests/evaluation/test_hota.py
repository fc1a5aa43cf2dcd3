"""HOTA, IDF1 and MOTA against trackeval, and in cases with known results."""

import json
from pathlib import Path

import numpy as np
import pytest
from random_cases import random_case
from small_ytvis import track

from maskprop_d2.evaluation import evaluate, hota_measures
from maskprop_d2.evaluation.hota_figures import hota_curves, hota_per_category, hota_per_video
from maskprop_d2.ops.rle import to_rle
from maskprop_d2.ytvis import load_json

trackeval = pytest.importorskip("trackeval")

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("HOTA", "DetA", "AssA", "LocA", "IDF1", "MOTA")
LEFT, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10)


class Masks(trackeval.datasets.YouTubeVIS):
    """trackeval's class, for annotations that have compressed RLEs already."""

    def _prepare_gt_annotations(self):
        for annotation in self.gt_data["annotations"]:
            annotation["area"] = 0  # Of no use for HOTA.


def reference(folder, ground_truth, results):
    """trackeval's figures: of all categories, of each by name, and of each video by its id; and the
    curves of all categories over the thresholds."""
    sizes = {x["id"]: (x["height"], x["width"]) for x in ground_truth["videos"]}

    def compressed(tracks):
        return [
            {
                "iscrowd": 0,
                **x,
                "segmentations": [
                    m and to_rle(m, *sizes[x["video_id"]]) for m in x["segmentations"]
                ],
            }
            for x in tracks
        ]

    # Videos are told apart by their folder.
    videos = [
        {**x, "file_names": [f"{x['id']}/{t}" for t in range(len(x["file_names"]))]}
        for x in ground_truth["videos"]
    ]
    truth = {
        **ground_truth,
        "videos": videos,
        "annotations": list(compressed(ground_truth["annotations"])),
    }
    for name, content in (
        ("gt/youtube_vis_val", truth),
        ("results/youtube_vis_val/ours/data", list(compressed(results))),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "file.json").write_text(json.dumps(content))
    dataset = Masks(
        {
            "GT_FOLDER": f"{folder}/gt/",
            "TRACKERS_FOLDER": f"{folder}/results/",
            "SPLIT_TO_EVAL": "val",
            "PRINT_CONFIG": False,
        }
    )
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.Identity(), trackeval.metrics.CLEAR()]
    quiet = {"PRINT_CONFIG": False, "PRINT_RESULTS": False, "TIME_PROGRESS": False}
    quiet |= dict.fromkeys(("OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES"), False)
    evaluator = trackeval.Evaluator({**quiet, "BREAK_ON_ERROR": True, "LOG_ON_ERROR": None})
    found = evaluator.evaluate([dataset], metrics)[0]["Masks"]["ours"]

    def figures(by_metric):
        by_metric = {k: v for x in by_metric.values() for k, v in x.items()}
        return {name: 100 * np.mean(by_metric[name]) for name in NAMES}

    averaged = found["COMBINED_SEQ"]["cls_comb_cls_av"]["HOTA"]
    curves = {name: (100 * averaged[name]).tolist() for name in NAMES[:4]}
    combined = {k: figures(v) for k, v in found.pop("COMBINED_SEQ").items()}
    videos = {}
    for name, by_category in found.items():
        videos[int(name)] = figures(
            {
                type(x).__name__: x.combine_classes_det_averaged(
                    {k: v[type(x).__name__] for k, v in by_category.items()}
                )
                for x in metrics
            }
        )
    overall = combined.pop("cls_comb_cls_av")
    del combined["cls_comb_det_av"]
    return overall, combined, videos, curves


def check(folder, ground_truth, results):
    metrics = evaluate(ground_truth, results, hota=True)
    overall, by_category, by_video, curves = reference(folder, ground_truth, results)
    expected = {**overall, **{f"HOTA-{k}": v["HOTA"] for k, v in by_category.items()}}
    assert hota_measures(metrics) == pytest.approx(expected, abs=1e-8)
    for name, curve in hota_curves(metrics)[0].items():
        assert curve == pytest.approx(curves[name], abs=1e-8)
    for ours, theirs in (
        (hota_per_category(metrics), by_category),
        (hota_per_video(metrics), by_video),
    ):
        assert ours.keys() == theirs.keys()
        for key, values in ours.items():
            assert values == pytest.approx(theirs[key], abs=1e-8)


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda p: p.name)
def test_golden_cases_equal_trackeval(folder, tmp_path):
    check(tmp_path, load_json(folder / "gt.json.gz"), load_json(folder / "results.json.gz"))


# In the last ones, several assignments are equally good.
@pytest.mark.parametrize("seed", [*range(25), 2040, 2047, 2079, 2105])
def test_random_cases_equal_trackeval(seed, tmp_path):
    check(tmp_path, *random_case(np.random.default_rng(seed)))


@pytest.fixture
def cat(ground_truth):
    """A video of six frames with one cat that does not move, and no other category."""
    video = {**ground_truth["videos"][0], "file_names": [f"{t}.jpg" for t in range(6)]}
    return {
        "videos": [video],
        "categories": [{"id": 4, "name": "cat"}],
        "annotations": [track(1, 4, [LEFT] * 6, id=1)],
    }


def test_perfect_predictions(cat):
    figures = hota_measures(evaluate(cat, [track(1, 4, [LEFT] * 6, score=0.3)], hota=True))
    assert figures == {**{x: pytest.approx(100) for x in NAMES}, "HOTA-cat": pytest.approx(100)}


def test_a_new_identity_halfway(cat):
    halves = [[LEFT] * 3 + [None] * 3, [None] * 3 + [LEFT] * 3]
    results = [track(1, 4, x, score=0.5) for x in halves]
    figures = hota_measures(evaluate(cat, results, hota=True))
    # Each mask shares its identity with 3 of 6 masks of the object.
    assert (figures["DetA"], figures["AssA"]) == (pytest.approx(100), pytest.approx(50))
    assert figures["HOTA"] == pytest.approx(100 * 0.5**0.5)
    assert (figures["IDF1"], figures["MOTA"]) == (pytest.approx(50), pytest.approx(100 * 5 / 6))


def test_no_predictions_and_no_categories(cat):
    figures = hota_measures(evaluate(cat, [], hota=True))
    assert (figures["HOTA"], figures["LocA"]) == (0, pytest.approx(100))
    nothing = {"videos": cat["videos"], "categories": [], "annotations": []}
    assert hota_measures(evaluate(nothing, [], hota=True)) == {}
