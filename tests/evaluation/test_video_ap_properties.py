"""Properties of the figures for any objects and predictions."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_ytvis import HEIGHT, WIDTH, track

from maskprop_d2.evaluation import evaluate
from maskprop_d2.evaluation.overlap import Overlaps
from maskprop_d2.evaluation.tracks import Track, Video
from maskprop_d2.ops.rle import encode, track_to_counts

LENGTHS = {1: 2, 2: 1}
CATEGORIES = {4: "cat", 7: "dog"}
GROUND_TRUTH = {
    "videos": [
        {"id": i, "height": HEIGHT, "width": WIDTH, "file_names": [f"{t}.jpg" for t in range(n)]}
        for i, n in LENGTHS.items()
    ],
    "categories": [{"id": i, "name": name} for i, name in CATEGORIES.items()],
}


@st.composite
def boxes(draw):
    """Boxes in few places, so that many overlap, some with equal IoUs."""
    x, y = draw(st.sampled_from([0, 1, 2, 20])), draw(st.sampled_from([0, 10]))
    return x, y, x + draw(st.integers(5, 6)), y + 6


places = st.tuples(st.sampled_from(list(LENGTHS)), st.sampled_from(list(CATEGORIES)))


@st.composite
def tracks(draw, **more):
    """Tracks with a mask in at least one frame."""
    place = draw(places)
    length = LENGTHS[place[0]]
    seen = draw(st.lists(st.none() | boxes(), min_size=length, max_size=length).filter(any))
    return track(*place, seen, **more)


scores = st.integers(1, 9).map(lambda x: x / 10)
objects = st.lists(tracks(), max_size=5).map(
    lambda found: [{**x, "id": i} for i, x in enumerate(found, start=1)]
)
results = st.lists(scores.flatmap(lambda x: tracks(score=x)), max_size=7)


def figures(objects, results):
    return evaluate({**GROUND_TRUTH, "annotations": objects}, results).as_dict()


def prediction_of(annotation):
    return {k: annotation[k] for k in ("video_id", "category_id", "segmentations")}


@settings(max_examples=60)
@given(objects, results)
def test_figures_are_percentages_and_ar_rises_with_the_limit(objects, results):
    found = figures(objects, results)
    names = {x["category_id"] for x in objects}
    for name, value in found.items():
        assert value is None or 0 <= value <= 100 + 1e-9
        if name.startswith("AP-"):
            assert (value is not None) == any(CATEGORIES[x] == name[3:] for x in names)
    if objects:
        assert found["AR1"] <= found["AR10"] <= found["AR100"]
        assert found["AP"] <= found["AP50"]
        assert found["AP"] == pytest.approx(
            np.mean([found[f"AP-{CATEGORIES[x]}"] for x in sorted(names)])
        )


@settings(max_examples=40)
@given(objects, results, st.data())
def test_the_order_of_entries_with_different_scores_does_not_matter(objects, results, data):
    for i, result in enumerate(results):
        result["score"] = i / 7
    expected = figures(objects, results)
    truth = {
        "videos": data.draw(st.permutations(GROUND_TRUTH["videos"])),
        "categories": data.draw(st.permutations(GROUND_TRUTH["categories"])),
        "annotations": objects,
    }
    assert evaluate(truth, data.draw(st.permutations(results))).as_dict() == expected


@settings(max_examples=40)
@given(objects, results, st.sampled_from([lambda x: x**3, lambda x: 5 * x - 7, np.exp]))
def test_only_the_order_of_scores_matters(objects, results, rising):
    """Equal scores stay equal: they are ranked in file order."""
    other = [{**x, "score": float(rising(x["score"]))} for x in results]
    assert figures(objects, other) == figures(objects, results)


@settings(max_examples=40)
@given(objects, results, st.data())
def test_perfect_results_have_100_percent_above_any_others(objects, others, data):
    perfect = [{**prediction_of(x), "score": data.draw(scores)} for x in objects]
    others = [{**x, "score": x["score"] / 100} for x in [*others, *perfect]]
    found = figures(objects, others + perfect)
    del found["AR1"]
    assert all(value is None or value == pytest.approx(100) for value in found.values())


@settings(max_examples=40)
@given(objects, results, places, st.sampled_from([0.0, 0.55, 1.0]))
def test_a_false_positive_raises_no_figure(objects, results, place, score):
    beside = [(13, 17, 19, 20)] * LENGTHS[place[0]]
    before = figures(objects, results)
    after = figures(objects, [*results, track(*place, beside, score=score)])
    for name, value in before.items():
        if value is None:
            assert after[name] is None
        elif score == 0:
            assert after[name] == pytest.approx(value)
        else:
            assert after[name] <= value + 1e-9


@settings(max_examples=40)
@given(objects, results, scores)
def test_finding_one_more_object_lowers_no_figure(objects, results, score):
    assume(objects)
    missed = prediction_of(objects[0])
    others = [x for x in results if any(x[k] != missed[k] for k in ("video_id", "category_id"))]
    before = figures(objects, others)
    after = figures(objects, [*others, {**missed, "score": score}])
    assert all(x is None or after[name] >= x - 1e-9 for name, x in before.items())
    assert after["AR100"] > before["AR100"]


@settings(max_examples=60)
@given(st.data(), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3))
def test_overlaps_equal_those_of_the_pixels(data, length, predictions, truth):
    a, b = (data.draw(arrays(bool, (n, length, 4, 5))) for n in (predictions, truth))

    def to_track(masks):
        """Where nothing is seen, there is no mask in even frames and an empty one in odd frames."""
        absent = [not mask.any() and t % 2 == 0 for t, mask in enumerate(masks)]
        rles = [None if x else encode(mask) for x, mask in zip(absent, masks, strict=True)]
        return Track(4, *track_to_counts(rles, 4, 5), average_area=1.0)

    video = Video(1, 4, 5, length)
    overlaps = Overlaps(video, [to_track(x) for x in a], [to_track(x) for x in b])
    both = np.einsum("plyx,glyx->lpg", a.astype(int), b.astype(int))
    either = a.sum((2, 3)).T[:, :, None] + b.sum((2, 3)).T[:, None] - both
    assert np.array_equal(overlaps.intersections, both)
    assert np.allclose(overlaps.frame_ious(), both / np.maximum(either, 1))
    expected = both.sum(0) / np.maximum(either.sum(0), 1)
    assert np.allclose(overlaps.video_ious(), expected)
