"""The frames that show errors, in cases where they are known."""

import numpy as np
import pytest
from small_ytvis import make_ground_truth, track
from test_diagnosis import ERRORS, FREE, LEFT, LENGTH, RIGHT, make_set, with_errors

from maskprop_d2.evaluation.diagnosis import diagnose
from maskprop_d2.evaluation.predictions import read_tracks

SMALL = (0, 0, 10, 7)


def cases(truth, results):
    videos = read_tracks(truth, results, ("truth", "results"))
    return diagnose(videos, sorted(x["id"] for x in truth["categories"])).cases


@pytest.mark.parametrize("error", ERRORS, ids=lambda x: x.__name__)
def test_errors_of_one_kind_are_the_cases_of_that_kind(error):
    truth, results = make_set()
    rng = np.random.default_rng(0)
    found = cases(truth, with_errors(results, {3: error}, rng))
    expected = ERRORS[error]
    assert {kind for kind, x in found.items() if x} == {expected}
    assert {x.video_id for x in found[expected]} == {3}
    assert all(x.cost > 0 for x in found[expected])


@pytest.fixture
def truth():
    """A video with an object on the left and one on the right, of two categories."""
    names = [f"{t}.jpg" for t in range(LENGTH)]
    video = {**make_ground_truth()["videos"][0], "file_names": names}
    objects = [track(1, 4, [LEFT] * LENGTH, id=1), track(1, 7, [RIGHT] * LENGTH, id=2)]
    return {**make_ground_truth(), "videos": [video], "annotations": objects}


def described(found):
    return [(x.frame, x.object, x.prediction) for x in found]


def test_the_frame_shows_the_error(truth):
    results = [
        # Fits worst in frame 3.
        track(1, 4, [LEFT] * 3 + [(0, 0, 10, 2)] + [LEFT] * 2, score=0.9),
        # Of another category, with two masks.
        track(1, 4, [None] * 4 + [RIGHT] * 2, score=0.8),
        track(1, 7, [None, FREE, None, None, None, None], score=0.7),
    ]
    found = cases(truth, results)
    assert described(found["mask"]) == [(3, 0, 0)]
    assert described(found["category"]) == [(4, 1, 1)]
    assert described(found["missed"]) == [(0, 1, None)]
    assert described(found["background"]) == [(1, None, 2)]
    assert found["background"][0].cost == 0.7


def test_a_split_and_a_merge(truth):
    truth["annotations"][1]["category_id"] = 4
    results = [
        track(1, 4, [LEFT] * 2 + [None] * 4, score=0.9),
        # Changes from the right to the left object in frame 4.
        track(1, 4, [RIGHT] * 4 + [LEFT] * 2, score=0.8),
    ]
    found = cases(truth, results)
    by_object = {x.object: (x.frame, x.prediction) for x in found["identity"]}
    assert by_object == {0: (4, 1), 1: (4, 1)}


def test_a_duplicate_and_a_track_on_a_crowd(truth):
    truth["annotations"].append(track(1, 4, [FREE] * LENGTH, id=3, iscrowd=1))
    results = [
        track(1, 4, [None] + [SMALL] * 5, score=0.9),
        track(1, 4, [LEFT] * LENGTH, score=0.8),
        track(1, 4, [FREE] * LENGTH, score=0.7),
        track(1, 7, [RIGHT] * LENGTH, score=0.6),
    ]
    found = cases(truth, results)
    assert described(found["duplicate"]) == [(1, 0, 0)]
    assert found["background"] == []
