"""Every tracking method with perfect detections: what each must get right, and what it cannot."""

import pytest
from scenes import Object, Scene, id_runs, make_tracker, track

from maskprop_d2.errors import InputError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.tracking import MASK_PROPAGATORS, TRACKERS, build_tracker

LENGTH = 14
RED, BLUE, YELLOW = (200, 60, 60), (60, 60, 200), (200, 200, 60)
# Methods that master more than the least. A new method that does so belongs into these sets too.
WITH_MEMORY = {"iou_plus", "masktrack", "deepsort", "ensemble", *MASK_PROPAGATORS}
WITH_PERFECT_PROPAGATION = {"maskprop", *MASK_PROPAGATORS}
every_method = pytest.mark.parametrize("method", TRACKERS)


def line(x, y, vx, length=LENGTH):
    return [(x + vx * t, y) for t in range(length)]


def three_objects(**changes):
    objects = {
        "a": Object(line(4, 4, 3), appearance=1, color=RED),
        "b": Object(line(120, 34, -3), appearance=2, color=BLUE),
        "c": Object(line(60, 66, 2), appearance=3, color=YELLOW),
    }
    return Scene(objects, **changes)


@every_method
def test_every_object_has_one_id(method):
    scene = three_objects()
    found = track(method, scene)
    assert sorted(id_runs(ids)[0] for ids in found.values()) == [0, 1, 2]
    assert all(len(id_runs(ids)) == 1 and None not in ids for ids in found.values())
    segmenter = VideoSegmenter(scene, make_tracker=lambda x: make_tracker(method, x, clip_radius=3))
    results = list(segmenter.stream(scene.images()))
    assert [x.index for x in results] == list(range(LENGTH))
    assert all(x.track_ids == [0, 1, 2] for x in results)


@every_method
@pytest.mark.parametrize(
    ("missed", "robust"),
    [
        ([6], {"maskprop", "flow", *WITH_MEMORY}),
        ([6, 7, 8], {"maskprop", "flow", *WITH_MEMORY}),
        # Longer than two clips; the boxes still overlap a little.
        ([4, 5, 6, 7, 8, 9, 10], WITH_MEMORY),
    ],
)
def test_a_missed_object(method, missed, robust):
    found = track(method, three_objects(missed=[("a", t) for t in missed]))
    assert len(id_runs(found["a"])) == (1 if method in robust else 2)
    assert len(id_runs(found["b"])) == len(id_runs(found["c"])) == 1
    assert not set(id_runs(found["a"])) & set(found["b"] + found["c"])


@every_method
@pytest.mark.parametrize("category", [0, 1])
def test_two_objects_of_equal_appearance_swap_places(method, category):
    """Only perfect propagation can identify them; or categories, with a memory of more than boxes.
    Other methods with categories see two new objects."""
    left, right = (30, 20), (90, 20)
    a = [left if t < 7 else right for t in range(LENGTH)]
    b = [right if t < 7 else left for t in range(LENGTH)]
    found = track(method, Scene({"a": Object(a), "b": Object(b, category=category)}))
    runs = [id_runs(found["a"]), id_runs(found["b"])]
    if method in WITH_PERFECT_PROPAGATION or (category and method == "masktrack"):
        assert runs == [[0], [1]]
    elif category and method in ("iou_plus", "seqtracker"):
        ids = runs[0] + runs[1]
        assert len(ids) == len(set(ids)) == 4
    else:
        assert runs in ([[0, 1], [1, 0]], [[1, 0], [0, 1]])


@every_method
def test_an_object_passes_behind_another(method):
    """While it is hidden flow and boxes are lost, but not its velocity and its appearance."""
    path = line(10, 30, 7, length=18)
    hidden = [("a", t) for t, (x, _) in enumerate(path) if abs(x - 66) < 28]
    assert len(hidden) == 7
    wall = Object([(66, 30)] * 18, appearance=2, color=BLUE)
    scene = Scene({"a": Object(path, appearance=1, color=RED), "wall": wall}, hidden)
    found = track(method, scene, radius=4)
    assert len(id_runs(found["wall"])) == 1
    robust = method in {"masktrack", "deepsort", "ensemble", *WITH_PERFECT_PROPAGATION}
    assert len(id_runs(found["a"])) == (1 if robust else 2)
    assert not set(id_runs(found["a"])) & set(id_runs(found["wall"]))


@every_method
def test_duplicate_detections_take_no_id(method):
    found = track(method, three_objects(doubled=[("a", 3), ("a", 4), ("b", 8)]))
    assert all(len(id_runs(found[name])) == 1 for name in "abc")
    ids = {id_runs(found[name])[0] for name in "abc"}
    assert len(ids) == 3
    assert not ids & set(id_runs(found["a again"]) + id_runs(found["b again"]))


@every_method
def test_an_object_appears_and_another_disappears(method):
    missed = [("a", t) for t in range(5, LENGTH)] + [("b", t) for t in range(9)]
    found = track(method, three_objects(missed=missed))
    assert sorted(id_runs(ids) for ids in found.values()) == [[0], [1], [2]]


@every_method
def test_no_object_and_one_frame(method):
    nothing = Scene({"a": Object(line(4, 4, 3))}, missed=[("a", t) for t in range(LENGTH)])
    assert track(method, nothing) == {}
    assert track(method, Scene({"a": Object([(4, 4)])})) == {"a": [0]}
    # Frames without detections before, between and after.
    seen = [3, 4, 8]
    missed = [("a", t) for t in range(LENGTH) if t not in seen]
    found = track(method, Scene({"a": Object(line(4, 4, 0))}, missed=missed))["a"]
    assert [t for t, x in enumerate(found) if x is not None] == seen and found[3] == found[4]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("sort", {}, "unknown tracking method 'sort': choose one of maskprop, "),
        ("iou", {"match": "all"}, "'iou' has no option 'match': it has threshold"),
        ("iou_plus", {"threshold": 0.1}, "'iou_plus' has no option 'threshold': it has none"),
        ("maskprop", {"clip_radius": 0}, "'maskprop': clip_radius must be at least 1 .*: 0"),
        ("flow", {"match": "far"}, "'flow': match must be 'all' or 'near', not 'far'"),
    ],
)
def test_wrong_options_are_rejected(method, options, message):
    with pytest.raises(InputError, match=message):
        build_tracker(method, None, **options)
