"""IDF1 and ID switches in cases with known results."""

import pytest
from small_ytvis import track

from maskprop_d2.evaluation import evaluate, identity_measures

LEFT, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10)


def measures(truth, results):
    metrics = evaluate(truth, results, identity=True)
    return identity_measures(p for video in metrics.videos for p in video.frame_pairs.values())


@pytest.fixture
def cat(ground_truth):
    """A video of six frames with one cat that does not move."""
    video = {**ground_truth["videos"][0], "file_names": [f"{t}.jpg" for t in range(6)]}
    return {**ground_truth, "videos": [video], "annotations": [track(1, 4, [LEFT] * 6, id=1)]}


def test_perfect_predictions(cat):
    result = measures(cat, [track(1, 4, [LEFT] * 6, score=0.3)])
    assert result == {"IDF1": pytest.approx(100), "ID_switches": 0, "score_threshold": 0.3}


def test_a_new_identity(cat):
    first = track(1, 4, [LEFT] * 4 + [None] * 2, score=0.5)
    second = track(1, 4, [None] * 4 + [LEFT] * 2, score=0.5)
    result = measures(cat, [first, second])
    # Four of six frames keep their identity: 2 * 4 / (6 + 6).
    assert result["IDF1"] == pytest.approx(100 * 8 / 12)
    assert result["ID_switches"] == 1


def test_a_gap_is_no_switch_but_two_changes_are_two_switches(cat):
    gap = track(1, 4, [LEFT, None, None, LEFT, LEFT, LEFT], score=0.5)
    assert measures(cat, [gap])["ID_switches"] == 0
    between = track(1, 4, [None, LEFT, LEFT, None, None, None], score=0.5)
    assert measures(cat, [gap, between])["ID_switches"] == 2


def test_two_objects_swap_identities(cat):
    cat["annotations"].append(track(1, 4, [RIGHT] * 6, id=2))
    results = [
        track(1, 4, [LEFT] * 3 + [RIGHT] * 3, score=0.9),
        track(1, 4, [RIGHT] * 3 + [LEFT] * 3, score=0.9),
    ]
    result = measures(cat, results)
    assert (result["IDF1"], result["ID_switches"]) == (pytest.approx(50), 2)


def test_pairs_are_kept_while_they_agree(cat):
    """From frame 3 on, another prediction has a larger IoU, but the first one still agrees."""
    loose = track(1, 4, [(0, 0, 10, 8)] * 6, score=0.9)
    tight = track(1, 4, [None] * 3 + [LEFT] * 3, score=0.9)
    assert measures(cat, [loose, tight])["ID_switches"] == 0


def test_the_score_threshold_has_the_best_idf1(cat):
    right = track(1, 4, [LEFT] * 6, score=0.6)
    results = [right] + [track(1, 4, [RIGHT] * 6, score=0.1 * i) for i in range(5)]
    assert measures(cat, results) == {
        "IDF1": pytest.approx(100),
        "ID_switches": 0,
        "score_threshold": 0.6,
    }


def test_predictions_of_other_categories_do_not_agree(cat):
    assert measures(cat, [track(1, 7, [LEFT] * 6, score=0.9)])["IDF1"] == 0


def test_crowds_and_predictions_that_agree_with_them_do_not_count(cat):
    cat["annotations"].append(track(1, 4, [RIGHT] * 6, id=2, iscrowd=1))
    results = [track(1, 4, [LEFT] * 6, score=0.9), track(1, 4, [RIGHT] * 6, score=0.9)]
    assert measures(cat, results)["IDF1"] == pytest.approx(100)


def test_no_predictions_and_no_objects(cat):
    nothing = {"IDF1": 0.0, "ID_switches": 0, "score_threshold": None}
    assert measures(cat, []) == nothing
    assert measures({**cat, "annotations": []}, []) == {**nothing, "IDF1": None}
