"""The evaluator against the official code's figures, and against figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_ytvis import HEIGHT, WIDTH, box_mask, track

from maskprop_d2.evaluation import AnnotationError, evaluate, format_table, load_json
from maskprop_d2.evaluation.video_ap import _Matches

GOLDEN = sorted((Path(__file__).parent / "golden").iterdir())


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda p: p.name)
def test_figures_equal_those_of_the_official_code(folder):
    ground_truth = load_json(folder / "gt.json.gz")
    results = load_json(folder / "results.json.gz")
    official = load_json(folder / "official.json")
    metrics = evaluate(ground_truth, results)
    figures = metrics.as_dict()
    for name, value in zip(official["stats_names"], official["stats"], strict=True):
        assert (-1 if figures[name] is None else figures[name] / 100) == pytest.approx(
            value, abs=1e-6
        )
    precision = metrics.precision.mean(1)
    assert np.allclose(precision, official["ap_by_iou_category_area_maxdets"], rtol=0, atol=1e-6)
    assert np.allclose(
        metrics.recall, official["ar_by_iou_category_area_maxdets"], rtol=0, atol=1e-6
    )
    videos = {video["id"]: video for video in ground_truth["videos"]}
    for key, ious in official["ious_by_video_category"].items():
        video_id, category_id = (int(x) for x in key.split(","))
        truth, predictions = (
            [x for x in tracks if (x["video_id"], x["category_id"]) == (video_id, category_id)]
            for tracks in (ground_truth["annotations"], results)
        )
        matches = _Matches(videos[video_id], truth, list(enumerate(predictions)), ("", ""))
        assert np.allclose(matches.ious, np.reshape(ious, matches.ious.shape), rtol=0, atol=1e-6)


def ap(ground_truth, results):
    return evaluate(ground_truth, results).as_dict()


def predictions(ground_truth, *scores):
    kept = ("video_id", "category_id", "segmentations")
    return [
        {**{k: x[k] for k in kept}, "score": score}
        for x, score in zip(ground_truth["annotations"], scores, strict=False)
    ]


def test_perfect_results(ground_truth):
    figures = ap(ground_truth, predictions(ground_truth, 0.9, 0.8, 0.7))
    for name in ("AP", "AR100", "APs", "AP-cat", "AP-dog"):
        assert figures[name] == pytest.approx(100)
    assert figures["APm"] is figures["APl"] is figures["ARl"] is None


def test_no_results_and_no_annotations(ground_truth):
    assert ap(ground_truth, [])["AP"] == 0
    assert ap(ground_truth, [])["AR10"] == 0
    ground_truth["annotations"] = []
    assert set(ap(ground_truth, []).values()) == {None}
    del ground_truth["annotations"]
    assert set(ap(ground_truth, []).values()) == {None}
    assert "-" in format_table(evaluate(ground_truth, []))


def test_frames_where_only_one_side_has_a_mask_count_into_the_union(ground_truth):
    """100 of 200 pixels are found in one frame: IoU 0.5 reaches the lowest threshold alone."""
    results = [track(1, 4, [(0, 0, 10, 10), None, None], score=0.9)]
    figures = ap(ground_truth, results)
    # One of two cats: precision 1 at 51 of 101 recall points, at one of ten thresholds.
    assert figures["AP-cat"] == pytest.approx(100 * 51 / 101 / 10)
    assert figures["AR1"] == pytest.approx(100 * (0.5 / 10 + 0) / 2)
    # A mask in a frame where the object is not seen takes the IoU below that.
    results = [track(1, 4, [(0, 0, 10, 10), None, (0, 0, 1, 1)], score=0.9)]
    assert ap(ground_truth, results)["AP-cat"] == 0


def test_a_false_positive_lowers_precision_by_its_rank(ground_truth):
    right, wrong = (
        track(1, 7, [None, (0, 0, 4, 4), None]),
        track(1, 7, [(9, 9, 19, 19), None, None]),
    )
    first = [{**wrong, "score": 0.9}, {**right, "score": 0.5}]
    assert ap(ground_truth, first)["AP-dog"] == pytest.approx(50)
    assert ap(ground_truth, first)["AR1"] == 0
    second = [{**wrong, "score": 0.4}, {**right, "score": 0.5}]
    assert ap(ground_truth, second)["AP-dog"] == pytest.approx(100)


def test_ties_go_by_file_order(ground_truth):
    right, wrong = (
        track(1, 7, [None, (0, 0, 4, 4), None]),
        track(1, 7, [(9, 9, 19, 19), None, None]),
    )
    tied = [{**x, "score": 0.5} for x in (right, wrong)]
    assert ap(ground_truth, tied)["AP-dog"] == pytest.approx(100)
    assert ap(ground_truth, tied[::-1])["AP-dog"] == pytest.approx(50)


def test_crowds_are_not_counted_and_take_any_number_of_predictions(ground_truth):
    ground_truth["annotations"][1]["iscrowd"] = 1
    right = track(1, 7, [None, (0, 0, 4, 4), None], score=0.9)
    assert ap(ground_truth, [right, right])["AP-dog"] is None
    ground_truth["annotations"].append(track(2, 7, [(20, 10, 25, 15)], id=9))
    found = track(2, 7, [(20, 10, 25, 15)], score=0.1)
    assert ap(ground_truth, [right, right, found])["AP-dog"] == pytest.approx(100)


def test_area_ranges_use_the_files_own_areas_and_include_their_ends(ground_truth):
    results = predictions(ground_truth, 0.9, 0.8, 0.7)
    for area, filled in ((128**2, ["APs", "APm"]), (256**2, ["APm", "APl"])):
        for annotation in ground_truth["annotations"]:
            annotation["areas"] = [x and area for x in annotation["areas"]]
        figures = ap(ground_truth, results)
        assert [k for k in ("APs", "APm", "APl") if figures[k] is not None] == filled


def test_predictions_beyond_the_hundredth_of_a_video_do_not_count(ground_truth):
    right = track(2, 4, [(0, 0, 10, 10)], score=0.1)
    wrong = track(2, 4, [(20, 10, 25, 15)], score=0.9)
    assert ap(ground_truth, [wrong] * 99 + [right])["AR100"] > 0
    assert ap(ground_truth, [wrong] * 100 + [right])["AR100"] == 0


def test_all_ways_to_write_a_mask_give_the_same_figures(ground_truth):
    mixed = {**ground_truth, "annotations": [dict(x) for x in ground_truth["annotations"]]}
    first = mixed["annotations"][0]
    # Ten columns of ten pixels of twenty, as runs down the columns, and as a polygon.
    runs = [0] + [10] * 19 + [10 + 20 * (WIDTH - 10)]
    polygon = [[4.5, -0.5, 14.5, -0.5, 14.5, 9.5, 4.5, 9.5]]
    first["segmentations"] = [{"size": [HEIGHT, WIDTH], "counts": runs}, polygon, None]
    results = predictions(ground_truth, 0.9, 0.8, 0.7)
    assert ap(mixed, results) == ap(ground_truth, results)
    as_bytes = box_mask(0, 0, 10, 10)
    as_bytes["counts"] = as_bytes["counts"].encode()
    results[2]["segmentations"] = [as_bytes]
    assert ap(mixed, results) == ap(ground_truth, results)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(59)), videos=st.permutations(range(8)))
def test_order_does_not_matter_where_scores_differ(order, videos):
    folder = GOLDEN[-2]
    ground_truth = load_json(folder / "gt.json.gz")
    results = load_json(folder / "results.json.gz")
    for i, result in enumerate(results):
        result["score"] = (i * 37 % 59) / 59
    expected = ap(ground_truth, results)
    ground_truth["videos"] = [ground_truth["videos"][i] for i in videos]
    assert ap(ground_truth, [results[i] for i in order]) == expected


WRONG_RESULTS = {
    "must be a list": lambda r: {"a": 1},
    r"entry 1 must be an object": lambda r: [r[0], 5],
    r"entry 0: unknown 'video_id' 99": lambda r: [{**r[0], "video_id": 99}],
    r"entry 0: unknown 'category_id' None": lambda r: [{**r[0], "category_id": None}],
    r"entry 0: 'score' must be a number": lambda r: [{**r[0], "score": float("nan")}],
    r"one entry .* for each of the 3 frames of video 1, but has 2": lambda r: [
        {**r[0], "segmentations": r[0]["segmentations"][:2]}
    ],
    r"\(and 2 more entries are wrong\)": lambda r: [{**x, "score": "high"} for x in r],
    r"entry 0, frame 0: the mask's size is \[5, 5\]": lambda r: [
        {**r[0], "segmentations": [{"size": [5, 5], "counts": [25]}, None, None]}
    ],
    r"entry 0, frame 2: a mask must be": lambda r: [{**r[0], "segmentations": [None, None, "x"]}],
}


@pytest.mark.parametrize("message", WRONG_RESULTS)
def test_wrong_results_are_refused_with_their_place(ground_truth, message):
    results = WRONG_RESULTS[message](predictions(ground_truth, 0.9, 0.8, 0.7))
    with pytest.raises(AnnotationError, match=message):
        evaluate(ground_truth, results)


WRONG_TRUTH = {
    "must be an object with": lambda g: [g],
    "'videos' must be a list": lambda g: {**g, "videos": None},
    "entry 0 of 'categories' needs a whole number": lambda g: {**g, "categories": [{"id": "4"}]},
    "two entries of 'videos' have the id 1": lambda g: {**g, "videos": g["videos"] + g["videos"]},
    "video 1 needs 'height'": lambda g: {**g, "videos": [{**g["videos"][0], "height": 10**9}]},
    "video 2 needs a list of 'file_names'": lambda g: {**g, "videos": [{"id": 2}]},
    "annotation 1: unknown 'video_id' 1": lambda g: {**g, "videos": g["videos"][1:]},
    "annotation 1: 'areas' must hold": lambda g: {
        **g,
        "annotations": [{**g["annotations"][0], "areas": ["big"]}],
    },
}


@pytest.mark.parametrize("message", WRONG_TRUTH)
def test_wrong_ground_truth_is_refused_with_its_place(ground_truth, message):
    with pytest.raises(AnnotationError, match=message):
        evaluate(WRONG_TRUTH[message](ground_truth), [])
