"""Diagnosis of results with errors that were put in."""

from itertools import count

import numpy as np
import pytest
from random_cases import random_case
from small_ytvis import HEIGHT, WIDTH, track

from maskprop_d2.evaluation import evaluate
from maskprop_d2.evaluation.diagnosis import KINDS, diagnose
from maskprop_d2.evaluation.predictions import read_tracks
from maskprop_d2.ops.rle import decode

LENGTH, VIDEOS = 6, 50
LEFT, RIGHT, FREE = (0, 0, 10, 10), (16, 0, 26, 10), (12, 12, 18, 18)
CATEGORIES = {i: f"c{i}" for i in range(1, 9)}


def make_set():
    """Two objects of one category in each video, and perfect results with random scores."""
    videos, objects = [], []
    rng = np.random.default_rng(0)
    for category_id in CATEGORIES:
        for _ in range(VIDEOS // len(CATEGORIES) + 1):
            video_id = len(videos) + 1
            names = ["x"] * LENGTH
            videos.append({"id": video_id, "height": HEIGHT, "width": WIDTH, "file_names": names})
            for box in (LEFT, RIGHT):
                entry = track(video_id, category_id, [box] * LENGTH, id=len(objects) + 1)
                objects.append(entry)
    categories = [{"id": i, "name": name} for i, name in CATEGORIES.items()]
    results = [
        {**{k: x[k] for k in ("video_id", "category_id", "segmentations")}, "score": rng.random()}
        for x in objects
    ]
    return {"videos": videos, "categories": categories, "annotations": objects}, results


def masks(*boxes):
    return track(1, 1, boxes)["segmentations"]


def missed(pair, rng):
    return pair[:1]


def category(pair, rng):
    return [pair[0], {**pair[1], "category_id": pair[1]["category_id"] % 8 + 1}]


def swap(pair, rng):
    first, second = (x["segmentations"] for x in pair)
    return [
        {**pair[0], "segmentations": first[:3] + second[3:]},
        {**pair[1], "segmentations": second[:3] + first[3:]},
    ]


def split(pair, rng):
    first = pair[0]["segmentations"]
    none = [None] * 3
    return [
        {**pair[0], "segmentations": first[:3] + none},
        {**pair[0], "segmentations": none + first[3:], "score": rng.random()},
        pair[1],
    ]


def merge(pair, rng):
    """One track for both objects: half of each is missed, too."""
    return swap(pair, rng)[:1]


def mask(pair, rng):
    return [{**pair[0], "segmentations": masks(*[(0, 0, 10, 7)] * LENGTH)}, pair[1]]


def background(pair, rng):
    false = {**pair[0], "segmentations": masks(*[FREE] * LENGTH), "score": rng.random()}
    return [*pair, false]


def duplicate(pair, rng):
    again = {**pair[0], "segmentations": masks(*[(0, 0, 10, 9)] * LENGTH), "score": rng.random()}
    return [*pair, again]


def half(pair, rng):
    """Some frames of a track are missed."""
    return [{**pair[0], "segmentations": pair[0]["segmentations"][:4] + [None] * 2}, pair[1]]


ERRORS = {
    missed: "missed",
    half: "missed",
    category: "category",
    swap: "identity",
    split: "identity",
    mask: "mask",
    background: "background",
    duplicate: "duplicate",
}


def with_errors(results, errors, rng):
    """The results, where an error is put into the videos that have one in the dict."""
    changed = []
    for video_id in sorted({x["video_id"] for x in results}):
        pair = [x for x in results if x["video_id"] == video_id]
        changed += errors[video_id](pair, rng) if video_id in errors else pair
    return changed


def ap(truth, results):
    return evaluate(truth, results).as_dict()["AP"]


def diagnosis(truth, results):
    return diagnose(read_tracks(truth, results, ("truth", "results")), list(CATEGORIES))


def check_sum(truth, results, found):
    assert found.ap == pytest.approx(ap(truth, results))
    assert found.ap + sum(found.lost.values()) == pytest.approx(100)


@pytest.mark.parametrize("error", ERRORS, ids=lambda x: x.__name__)
def test_one_kind_of_error_gets_all_of_the_lost_ap(error):
    truth, results = make_set()
    wrong = {x["id"]: error for x in truth["videos"] if x["id"] % 3 == 0}
    results = with_errors(results, wrong, np.random.default_rng(1))
    found = diagnosis(truth, results)
    check_sum(truth, results, found)
    lost = 100 - found.ap
    assert lost > 1
    for kind in KINDS:
        assert found.lost[kind] == pytest.approx(lost * (kind == ERRORS[error]), abs=0.2), kind


def test_kinds_of_error_side_by_side_get_what_each_costs_alone():
    """Every video can have an error of one kind. Each costs what it costs alone, within a point."""
    truth, results = make_set()
    numbers = count()
    kinds = list(ERRORS)
    wrong = {
        x["id"]: kinds[next(numbers) % len(kinds)] for x in truth["videos"] if x["id"] % 4 == 1
    }
    mixed = with_errors(results, wrong, np.random.default_rng(1))
    found = diagnosis(truth, mixed)
    check_sum(truth, mixed, found)
    for kind in KINDS:
        alone = {k: v for k, v in wrong.items() if ERRORS[v] == kind}
        injected = 100 - ap(truth, with_errors(results, alone, np.random.default_rng(1)))
        assert injected > 0.3
        assert found.lost[kind] == pytest.approx(injected, abs=1), kind


@pytest.mark.parametrize("seed", range(20))
def test_the_shares_add_up(seed):
    """With all kinds of error repaired, AP is 100, unless an object is never seen."""
    truth, results = random_case(np.random.default_rng(seed))
    truth["annotations"] = [
        x
        for x in truth["annotations"]
        if not x["iscrowd"] and any(m and decode(m).any() for m in x["segmentations"])
    ]
    found = diagnosis(truth, results)
    if truth["annotations"]:
        check_sum(truth, results, found)


def test_identity_errors_are_counted():
    truth, results = make_set()
    rng = np.random.default_rng(1)
    for error, splits, merges in ((swap, 2, 2), (split, 1, 0), (merge, 0, 1), (duplicate, 0, 0)):
        found = diagnosis(truth, with_errors(results, {1: error}, rng))
        assert (found.splits, found.merges) == (splits, merges), error


def test_perfect_scores_rank_a_false_positive_last():
    truth, results = make_set()
    wrong = {x["id"]: background for x in truth["videos"]}
    found = diagnosis(truth, with_errors(results, wrong, np.random.default_rng(1)))
    assert found.ranking == pytest.approx(100 - found.ap)


def test_recall_of_groups():
    truth, results = make_set()
    for x in truth["annotations"][::2]:
        x["areas"] = [150**2] * LENGTH
    wrong = {x["id"]: missed for x in truth["videos"][:10]}
    groups = diagnosis(truth, with_errors(results, wrong, np.random.default_rng(1))).groups
    small, medium = groups["size"]["small"], groups["size"]["medium"]
    number = len(truth["videos"])
    assert (small.objects, medium.objects) == (number, number)
    assert (small.recall, medium.recall) == (pytest.approx(100 - 1000 / number), 100)
    assert small.lost["missed"] == pytest.approx(1000 / number)
    assert list(groups["length"]) == ["short"] and list(groups["speed"]) == ["slow"]


def test_no_objects_and_no_predictions():
    truth, results = make_set()
    found = diagnosis({**truth, "annotations": []}, results)
    assert found.ap is None
    found = diagnosis(truth, [])
    assert found.ap == 0 and found.lost["missed"] == pytest.approx(100)
