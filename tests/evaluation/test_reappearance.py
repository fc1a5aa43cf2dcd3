"""Objects that come back after they were hidden, in cases with known results."""

import pytest
from small_ytvis import track

from maskprop_d2.evaluation import evaluate, reappearance_measures

LEFT, RIGHT = (0, 0, 10, 10), (20, 0, 30, 10)
HIDDEN = [None] * 15


@pytest.fixture
def cats(ground_truth):
    """A cat that is hidden for 15 frames twice, and one that is hidden for 14 frames once."""
    video = {**ground_truth["videos"][0], "file_names": [f"{t}.jpg" for t in range(40)]}
    left = [LEFT] * 4 + HIDDEN + [LEFT] * 3 + HIDDEN + [LEFT] * 3
    right = [RIGHT] * 13 + HIDDEN[:14] + [RIGHT] * 13
    annotations = [track(1, 4, x, id=i) for i, x in enumerate((left, right), start=1)]
    return {**ground_truth, "videos": [video], "annotations": annotations}


def part(start, end, category=4, score=0.9):
    """A prediction that covers the first cat in the frames ``start .. end - 1``, hidden or not."""
    boxes = [LEFT if start <= t < end else None for t in range(40)]
    return track(1, category, boxes, score=score)


def measures(truth, results):
    """The number of reappearances, and the percentages found and kept."""
    metrics = evaluate(truth, results, identity=True)
    return list(reappearance_measures(x for y in metrics.videos for x in y.reappearances).values())


def test_objects_that_keep_their_id(cats):
    assert measures(cats, [part(0, 40)]) == [2, 100, 100]
    assert measures(cats, []) == [2, 0, 0]


def test_a_new_id(cats):
    assert measures(cats, [part(0, 22), part(37, 40)]) == [2, 100, 50]
    assert measures(cats, [part(0, 4), part(19, 22), part(37, 40)]) == [2, 100, 0]


def test_the_id_is_that_of_most_frames(cats):
    results = [part(0, 20), part(20, 40)]
    # Of frames 19 to 21, two have the second ID.
    assert measures(cats, results) == [2, 100, 50]


def test_objects_that_are_not_found(cats):
    assert measures(cats, [part(0, 22)]) == [2, 50, 50]
    # Nothing is found between the reappearances: there is no ID to keep.
    around = track(1, 4, [LEFT] * 4 + [None] * 33 + [LEFT] * 3, score=0.9)
    assert measures(cats, [around]) == [2, 0, 0]


def test_categories_and_scores_do_not_matter(cats):
    assert measures(cats, [part(0, 40, category=7, score=0.01)]) == [2, 100, 100]
    strong = track(1, 4, [RIGHT] * 40, score=1.0)
    assert measures(cats, [part(0, 40, score=0.01), strong]) == [2, 100, 100]


def test_crowds_do_not_count(cats):
    cats["annotations"][0]["iscrowd"] = 1
    assert measures(cats, [part(0, 40)]) == [0, None, None]
