"""The AP that each video costs, in cases with known results."""

import numpy as np
import pytest
from random_cases import random_case
from small_ytvis import track

from maskprop_d2.evaluation import ap_gains, evaluate, per_video

BOX = (0, 0, 10, 10)


@pytest.fixture
def four_videos(ground_truth):
    """Four videos of one frame with a cat each."""
    videos = [{**ground_truth["videos"][1], "id": i} for i in (1, 2, 3, 4)]
    cats = [track(i, 4, [BOX], id=i) for i in (1, 2, 3, 4)]
    return {**ground_truth, "videos": videos, "annotations": cats}


def test_gains_for_a_missed_object_and_a_false_positive(four_videos):
    results = [track(i, 4, [BOX], score=0.9) for i in (1, 2, 3)]
    results += [track(3, 4, [(20, 10, 30, 20)], score=0.95)]
    gains = ap_gains(evaluate(four_videos, results))
    # Three of four objects are found, with precision 1/2, 2/3, 3/4: 3/4 at 76 of 101 recall points.
    before = 0.75 * 76 / 101
    # Perfect video 4: a hit, a false positive, three hits: precision 1, ..., 4/5.
    with_4 = (26 + 75 * 0.8) / 101
    with_3 = 76 / 101
    assert list(gains) == [4, 3, 1, 2]
    assert gains[4] == pytest.approx(100 * (with_4 - before))
    assert gains[3] == pytest.approx(100 * (with_3 - before))
    # Also a correct prediction gains by ranking before the false one: 1, then 3/4 to the third.
    assert gains[1] == gains[2] == pytest.approx(100 * ((26 + 50 * 0.75) / 101 - before))


def test_gains_are_averaged_over_the_categories(four_videos):
    four_videos["annotations"][0]["category_id"] = 7
    results = [track(i, 4, [BOX], score=0.9) for i in (2, 3, 4)]
    assert ap_gains(evaluate(four_videos, results)) == {1: pytest.approx(50), 2: 0, 3: 0, 4: 0}


def test_no_gains_without_annotations_or_errors(four_videos):
    assert ap_gains(evaluate({**four_videos, "annotations": []}, [])) == {}
    perfect = [track(i, 4, [BOX], score=0.9) for i in (1, 2, 3, 4)]
    assert set(ap_gains(evaluate(four_videos, perfect)).values()) == {0.0}


@pytest.mark.parametrize("seed", range(40))
def test_gains_are_those_of_scoring_perfect_predictions(seed, monkeypatch):
    # With odd seeds, one video at a time.
    monkeypatch.setattr(per_video, "MAX_ELEMENTS", 1 if seed % 2 else 10**6)
    truth, results = random_case(np.random.default_rng(seed))
    # An object without any mask is never found.
    truth["annotations"] = [x for x in truth["annotations"] if any(x["segmentations"])]
    before = evaluate(truth, results).as_dict()["AP"]
    gains = ap_gains(evaluate(truth, results))
    for video_id, gain in gains.items():
        perfect = [
            {**x, "score": 2.0}
            for x in truth["annotations"]
            if x["video_id"] == video_id and not x["iscrowd"]
        ]
        others = [x for x in results if x["video_id"] != video_id]
        assert evaluate(truth, others + perfect).as_dict()["AP"] - before == pytest.approx(gain)
