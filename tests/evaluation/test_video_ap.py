"""The evaluator against figures of the official code and figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from small_ytvis import HEIGHT, WIDTH, box_mask, track

from maskprop_d2.errors import AnnotationError
from maskprop_d2.evaluation import evaluate, format_table, scoring
from maskprop_d2.evaluation.overlap import Overlaps
from maskprop_d2.evaluation.predictions import read_tracks
from maskprop_d2.evaluation.tracks import best_by_category
from maskprop_d2.ops.rle import encode
from maskprop_d2.ytvis import load_json

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda p: p.name)
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
    videos = {x.id: x for x in read_tracks(ground_truth, results, ("gt", "results"))}
    for key, ious in official["ious_by_video_category"].items():
        video_id, category_id = (int(x) for x in key.split(","))
        video = videos[video_id]
        predictions = best_by_category(video.predictions).get(category_id, [])
        truth = [x for x in video.truth if x.category_id == category_id]
        ours = Overlaps(video, predictions, truth).video_ious()
        assert np.allclose(ours, np.reshape(ious, ours.shape), rtol=0, atol=1e-9)


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
    """100 of 200 pixels are found in one frame: IoU 0.5 reaches only the lowest threshold."""
    results = [track(1, 4, [(0, 0, 10, 10), None, None], score=0.9)]
    figures = ap(ground_truth, results)
    # One of two cats: precision 1 at 51 of 101 recall points, at one of ten thresholds.
    assert figures["AP-cat"] == pytest.approx(100 * 51 / 101 / 10)
    assert figures["AR1"] == pytest.approx(100 * (0.5 / 10 + 0) / 2)
    # A mask in a frame where the object is not seen lowers the IoU below that.
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


def test_ties_are_ranked_in_file_order(ground_truth):
    right, wrong = (
        track(1, 7, [None, (0, 0, 4, 4), None]),
        track(1, 7, [(9, 9, 19, 19), None, None]),
    )
    tied = [{**x, "score": 0.5} for x in (right, wrong)]
    assert ap(ground_truth, tied)["AP-dog"] == pytest.approx(100)
    assert ap(ground_truth, tied[::-1])["AP-dog"] == pytest.approx(50)


def test_crowds_are_ignored_and_match_any_number_of_predictions(ground_truth):
    ground_truth["annotations"][1]["iscrowd"] = 1
    right = track(1, 7, [None, (0, 0, 4, 4), None], score=0.9)
    assert ap(ground_truth, [right, right])["AP-dog"] is None
    ground_truth["annotations"].append(track(2, 7, [(20, 10, 25, 15)], id=9))
    found = track(2, 7, [(20, 10, 25, 15)], score=0.1)
    assert ap(ground_truth, [right, right, found])["AP-dog"] == pytest.approx(100)


def test_objects_that_count_are_matched_before_ignored_ones_with_a_larger_iou(ground_truth):
    found = track(2, 7, [(0, 0, 10, 10)], score=0.9)
    ground_truth["annotations"] = [
        track(2, 7, [(0, 0, 10, 10)], id=1, iscrowd=1),
        track(2, 7, [(0, 0, 10, 6)], id=2),
    ]
    assert ap(ground_truth, [found])["AP50"] == pytest.approx(100)


def test_of_equal_ious_the_last_object_in_the_file_is_matched(ground_truth):
    """Both are found only if the first prediction, between the two, matches the right one."""
    left, right, between = ((x, 0, x + 10, 10) for x in (0, 4, 2))
    results = [track(2, 7, [between], score=0.9), track(2, 7, [left], score=0.8)]
    cats = [track(2, 7, [box], id=i) for i, box in enumerate((left, right))]
    assert ap({**ground_truth, "annotations": cats}, results)["AP50"] == pytest.approx(100)
    assert ap({**ground_truth, "annotations": cats[::-1]}, results)["AP50"] < 60


def test_area_ranges_use_the_areas_of_the_file_and_include_both_ends(ground_truth):
    results = predictions(ground_truth, 0.9, 0.8, 0.7)
    for area, filled in ((128**2, ["APs", "APm"]), (256**2, ["APm", "APl"])):
        for annotation in ground_truth["annotations"]:
            annotation["areas"] = [x and area for x in annotation["areas"]]
        figures = ap(ground_truth, results)
        assert [k for k in ("APs", "APm", "APl") if figures[k] is not None] == filled


def test_without_areas_in_the_file_those_of_the_masks_are_used(ground_truth):
    expected = ap(ground_truth, predictions(ground_truth, 0.9, 0.8, 0.7))
    for annotation in ground_truth["annotations"]:
        del annotation["areas"]
    assert ap(ground_truth, predictions(ground_truth, 0.9, 0.8, 0.7)) == expected
    # An empty list of areas means an object of size 0.
    ground_truth["annotations"][0]["areas"] = []
    assert ap(ground_truth, [])["APs"] == 0


def test_unmatched_predictions_outside_the_area_range_are_ignored():
    """Of two wrong predictions, only the small one counts for small objects."""
    video = {"id": 1, "height": 200, "width": 200, "file_names": ["0.jpg"]}

    def box(side, score=None):
        mask = np.zeros((200, 200), bool)
        mask[:side, :side] = True
        more = {"areas": [side**2]} if score is None else {"score": score}
        return {"video_id": 1, "category_id": 1, "segmentations": [encode(mask)], **more}

    truth = {
        "videos": [video],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**box(20), "id": 1}],
    }
    assert ap(truth, [box(150, 0.9), box(20, 0.5)])["APs"] == pytest.approx(100)
    assert ap(truth, [box(150, 0.9), box(20, 0.5)])["AP"] == pytest.approx(50)
    assert ap(truth, [box(60, 0.9), box(20, 0.5)])["APs"] == pytest.approx(50)
    # A side of 128 is the end of the range and belongs to it.
    assert ap(truth, [box(128, 0.9), box(20, 0.5)])["APs"] == pytest.approx(50)
    assert ap(truth, [box(129, 0.9), box(20, 0.5)])["APs"] == pytest.approx(100)


def test_an_annotation_with_id_0_is_a_regular_object(ground_truth, caplog):
    ground_truth["annotations"][0]["id"] = 0
    assert ap(ground_truth, predictions(ground_truth, 0.9, 0.8, 0.7))["AP"] == pytest.approx(100)
    assert "an annotation has the id 0" in caplog.text


def test_only_the_best_100_predictions_of_a_video_count(ground_truth):
    right = track(2, 4, [(0, 0, 10, 10)], score=0.1)
    wrong = track(2, 4, [(20, 10, 25, 15)], score=0.9)
    assert ap(ground_truth, [wrong] * 99 + [right])["AR100"] > 0
    assert ap(ground_truth, [wrong] * 100 + [right])["AR100"] == 0
    # Predictions of other videos or categories do not displace it.
    others = [track(2, 7, [(0, 0, 10, 10)], score=0.9), track(1, 4, [None] * 3, score=0.9)]
    assert ap(ground_truth, [wrong] * 99 + others * 50 + [right])["AR100"] > 0
    # Nor do worse ones, however many.
    worse = {**wrong, "score": 0.01}
    assert ap(ground_truth, [worse] * 1500 + [right] + [worse] * 1500)["AR1"] > 0


def test_several_processes_give_the_same_figures(monkeypatch):
    monkeypatch.setattr(scoring, "PARALLEL_FROM", 0)
    files = [load_json(GOLDEN / "dev_random_b" / f"{x}.json.gz") for x in ("gt", "results")]
    alone, shared = (evaluate(*files, processes=n, identity=True) for n in (1, 2))
    assert np.array_equal(alone.precision, shared.precision)
    assert [x.video_id for x in alone.videos] == [x.video_id for x in shared.videos]


def test_all_mask_formats_give_the_same_figures(ground_truth):
    mixed = {**ground_truth, "annotations": [dict(x) for x in ground_truth["annotations"]]}
    first = mixed["annotations"][0]
    # Ten columns of ten pixels of twenty, as runs down the columns, and as a polygon.
    runs = [0] + [10] * 19 + [10 + 20 * (WIDTH - 10)]
    polygon = [[4.5, -0.5, 14.5, -0.5, 14.5, 9.5, 4.5, 9.5]]
    first["segmentations"] = [{"size": [HEIGHT, WIDTH], "counts": runs}, polygon, None]
    results = predictions(ground_truth, 0.9, 0.8, 0.7)
    assert ap(mixed, results) == ap(ground_truth, results)
    # For the official code, an empty list of polygons is an unseen object.
    first["segmentations"][2] = []
    assert ap(mixed, results) == ap(ground_truth, results)
    as_bytes = box_mask(0, 0, 10, 10)
    as_bytes["counts"] = as_bytes["counts"].encode()
    results[2]["segmentations"] = [as_bytes]
    assert ap(mixed, results) == ap(ground_truth, results)


def _with_first(ground_truth, **change):
    return {**ground_truth, "annotations": [{**ground_truth["annotations"][0], **change}]}


WRONG_TRUTH = {
    "must be an object with": lambda g: [g],
    "'videos' must be a list": lambda g: {**g, "videos": None},
    "entry 0 of 'categories' needs an 'id', a non-negative integer": lambda g: {
        **g,
        "categories": [{"id": "4"}],
    },
    "two entries of 'videos' have the id 1": lambda g: {**g, "videos": g["videos"] + g["videos"]},
    "video 1 needs 'height'": lambda g: {**g, "videos": [{**g["videos"][0], "height": 10**9}]},
    "video 2 needs 'file_names'": lambda g: {**g, "videos": [{"id": 2}]},
    "annotation 1: unknown 'video_id' 1": lambda g: {**g, "videos": g["videos"][1:]},
    "entry 1 of 'categories' needs an 'id'": lambda g: {
        **g,
        "categories": [g["categories"][0], {"id": -7, "name": "dog"}],
    },
    "categories 4 and 5 have the same name, 'cat'": lambda g: {
        **g,
        "categories": [{"id": 4, "name": "cat"}, {"id": 5, "name": "cat"}],
    },
    "annotation 1: 'areas' must hold": lambda g: _with_first(g, areas=["big"]),
    "annotation 1: 'areas' must hold a number": lambda g: _with_first(g, areas=[-1, 1, 1]),
    "annotation 1: 'areas' must hold a number of pixels": lambda g: _with_first(
        g, areas=[10**400] * 3
    ),
    "annotation 1: 'iscrowd' must be 0 or 1": lambda g: _with_first(g, iscrowd="no"),
    "annotation 1, frame 1: the mask's size is": lambda g: _with_first(
        g, segmentations=[None, {"size": [9, 9], "counts": [81]}, None]
    ),
}


@pytest.mark.parametrize("message", WRONG_TRUTH)
def test_errors_in_the_ground_truth_name_the_entry(ground_truth, message):
    with pytest.raises(AnnotationError, match=message):
        evaluate(WRONG_TRUTH[message](ground_truth), [])
