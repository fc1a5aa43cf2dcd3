"""Each oracle repairs only its own part."""

import pytest
from small_ytvis import track

from maskprop_d2.evaluation import evaluate

LEFT, RIGHT, SMALLER = (0, 0, 10, 10), (20, 0, 30, 10), (0, 0, 10, 6)


@pytest.fixture
def two_cats(ground_truth):
    """Video 1: a cat on the left and one on the right in all three frames."""
    cats = [track(1, 4, [box] * 3, id=i) for i, box in enumerate((LEFT, RIGHT), 1)]
    return {**ground_truth, "annotations": cats}


def ap(truth, results, oracle):
    return evaluate(truth, results, oracle=oracle).as_dict()["AP"]


def aps(truth, results):
    return {x: ap(truth, results, x) for x in (None, "tracking", "classification", "segmentation")}


def test_only_tracking_repairs_swapped_identities(two_cats):
    results = [
        track(1, 4, [LEFT, LEFT, RIGHT], score=0.9),
        track(1, 4, [RIGHT, RIGHT, LEFT], score=0.7),
    ]
    found = aps(two_cats, results)
    # The intersection is two frames, the union four: IoU 0.5 reaches one of ten thresholds.
    assert found[None] == found["classification"] == found["segmentation"] == pytest.approx(10)
    assert found["tracking"] == pytest.approx(100)


def test_tracking_joins_the_parts_of_an_object_and_keeps_the_rest(two_cats):
    results = [
        track(1, 4, [LEFT, None, None], score=0.9),
        # In frame 0, this one has a lower score than the first: its mask stays in its track.
        track(1, 4, [LEFT, LEFT, LEFT], score=0.3),
        track(1, 4, [RIGHT] * 3, score=0.2),
    ]
    metrics = evaluate(two_cats, results, oracle="tracking")
    matches = metrics.videos[0].by_category[4]
    assert matches.scores.tolist() == pytest.approx([(0.9 + 0.3 + 0.3) / 3, 0.3, 0.2])
    assert matches.matched[0, -1].tolist() == [True, False, True]


def test_tracking_does_not_change_categories(two_cats):
    results = [track(1, 7, [LEFT] * 3, score=0.9), track(1, 4, [RIGHT] * 3, score=0.9)]
    two_cats["annotations"].append(track(2, 7, [LEFT], id=9))
    assert aps(two_cats, results)["tracking"] == aps(two_cats, results)[None]


def test_a_mask_belongs_to_the_object_with_the_largest_overlap(two_cats):
    """One mask covers both cats in frame 0. It does not replace the mask on the right."""
    results = [
        track(1, 4, [LEFT] * 3, score=0.9),
        track(1, 4, [(1, 0, 25, 10), None, None], score=0.8),
        track(1, 4, [RIGHT] * 3, score=0.7),
    ]
    matches = evaluate(two_cats, results, oracle="tracking").videos[0].by_category[4]
    assert matches.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert matches.matched[0, -1].tolist() == [True, False, True]


def test_only_classification_repairs_wrong_categories(two_cats):
    two_cats["annotations"][1]["category_id"] = 7
    results = [track(1, 7, [LEFT] * 3, score=0.9), track(1, 4, [RIGHT] * 3, score=0.7)]
    found = aps(two_cats, results)
    assert found[None] == found["tracking"] == found["segmentation"] == 0
    assert found["classification"] == pytest.approx(100)


def test_classification_merges_a_track_with_several_categories(two_cats):
    results = [
        track(1, category, [box] * 3, score=score)
        for box in (LEFT, RIGHT)
        for category, score in ((4, 0.5), (7, 0.9))
    ]
    assert ap(two_cats, results, "classification") == pytest.approx(100)
    scores = evaluate(two_cats, results, oracle="classification").videos[0].by_category[4].scores
    assert scores.tolist() == [0.9, 0.9]


def test_only_segmentation_repairs_bad_masks(two_cats):
    results = [track(1, 4, [SMALLER] * 3, score=0.9), track(1, 4, [RIGHT] * 3, score=0.7)]
    found = aps(two_cats, results)
    assert found[None] == found["tracking"] == found["classification"] < 90
    assert found["segmentation"] == pytest.approx(100)


def test_segmentation_adds_no_masks(two_cats):
    results = [track(1, 4, [SMALLER, None, None], score=0.9)]
    assert ap(two_cats, results, "segmentation") == 0


@pytest.mark.parametrize("oracle", ["tracking", "classification", "segmentation"])
def test_predictions_without_an_object_do_not_change(two_cats, oracle):
    two_cats["annotations"][1]["iscrowd"] = 1
    # IoU 0.09 with the first cat; a crowd is not an object.
    results = [
        track(1, 4, [(0, 0, 3, 3)] * 3, score=0.9),
        track(1, 7, [RIGHT] * 3, score=0.8),
        track(2, 4, [LEFT], score=0.8),
    ]
    before, after = (evaluate(two_cats, results, oracle=x).videos for x in (None, oracle))
    for old, new in zip(before, after, strict=True):
        assert old.by_category.keys() == new.by_category.keys()
        for category, matches in old.by_category.items():
            assert matches.scores.tolist() == new.by_category[category].scores.tolist()
            assert (matches.matched == new.by_category[category].matched).all()
            assert (matches.ignored == new.by_category[category].ignored).all()


@pytest.mark.parametrize("oracle", ["tracking", "classification", "segmentation"])
def test_oracles_without_results_or_annotations(ground_truth, oracle):
    assert ap(ground_truth, [], oracle) == 0
    results = [track(1, 4, [LEFT, None, None], score=0.9)]
    assert ap({**ground_truth, "annotations": []}, results, oracle) is None
