"""A scripted detector through every method: what each must get right, and what it cannot."""

import pytest
from scenes import Object, Scene, pieces, track

from maskprop_d2.tracking import MASK_PROPAGATORS, TRACKERS

LENGTH = 14
RED, BLUE, YELLOW = (200, 60, 60), (60, 60, 200), (200, 200, 60)
REMEMBERING = {"iou_plus", "masktrack", "deepsort", "ensemble", *MASK_PROPAGATORS}
SEEING_MOTION = {"maskprop", *MASK_PROPAGATORS}
"""Those to whom perfect propagation is scripted."""
every_method = pytest.mark.parametrize("method", TRACKERS)


def line(x, y, vx, length=LENGTH):
    return [(x + vx * t, y) for t in range(length)]


def three(**changes):
    objects = {
        "a": Object(line(4, 4, 3), look=1, color=RED),
        "b": Object(line(120, 34, -3), look=2, color=BLUE),
        "c": Object(line(60, 66, 2), look=3, color=YELLOW),
    }
    return Scene(objects, **changes)


@every_method
def test_every_object_keeps_an_id_of_its_own(method):
    found = track(method, three())
    assert sorted(pieces(ids)[0] for ids in found.values()) == [0, 1, 2]
    assert all(len(pieces(ids)) == 1 and None not in ids for ids in found.values())


@every_method
@pytest.mark.parametrize(
    ("missed", "who_keeps_the_id"),
    [
        ([6], {"maskprop", "flow", *REMEMBERING}),
        ([6, 7, 8], {"maskprop", "flow", *REMEMBERING}),
        # Longer than two clips reach; the boxes still overlap a little.
        ([4, 5, 6, 7, 8, 9, 10], REMEMBERING),
    ],
)
def test_a_missed_object(method, missed, who_keeps_the_id):
    found = track(method, three(missed=[("a", t) for t in missed]))
    assert len(pieces(found["a"])) == (1 if method in who_keeps_the_id else 2)
    assert len(pieces(found["b"])) == len(pieces(found["c"])) == 1
    assert not set(pieces(found["a"])) & set(found["b"] + found["c"])


@every_method
@pytest.mark.parametrize("category", [0, 1])
def test_two_look_alikes_that_change_places(method, category):
    """Only propagation, which is perfect here, can tell; a category tells that they are others, and
    with a memory of more than boxes, who."""
    left, right = (30, 20), (90, 20)
    a = [left if t < 7 else right for t in range(LENGTH)]
    b = [right if t < 7 else left for t in range(LENGTH)]
    found = track(method, Scene({"a": Object(a), "b": Object(b, category=category)}))
    runs = [pieces(found["a"]), pieces(found["b"])]
    if method in SEEING_MOTION or (category and method == "masktrack"):
        assert runs == [[0], [1]]
    elif category and method in ("iou_plus", "seqtracker"):
        ids = runs[0] + runs[1]
        assert len(ids) == len(set(ids)) == 4
    else:
        assert runs in ([[0, 1], [1, 0]], [[1, 0], [0, 1]])


@every_method
def test_an_object_that_goes_behind_another(method):
    """Hidden, it goes on where neither flow nor boxes tell, but its speed and its look do."""
    path = line(10, 30, 7, length=18)
    hidden = [("a", t) for t, (x, _) in enumerate(path) if abs(x - 66) < 28]
    assert len(hidden) == 7
    wall = Object([(66, 30)] * 18, look=2, color=BLUE)
    scene = Scene({"a": Object(path, look=1, color=RED), "wall": wall}, hidden)
    found = track(method, scene, radius=4)
    assert len(pieces(found["wall"])) == 1
    followed = method in {"masktrack", "deepsort", "ensemble", *SEEING_MOTION}
    assert len(pieces(found["a"])) == (1 if followed else 2)
    assert not set(pieces(found["a"])) & set(pieces(found["wall"]))


@every_method
def test_duplicates_take_no_id_away(method):
    found = track(method, three(doubled=[("a", 3), ("a", 4), ("b", 8)]))
    assert all(len(pieces(found[name])) == 1 for name in "abc")
    owners = {pieces(found[name])[0] for name in "abc"}
    assert len(owners) == 3
    assert not owners & set(pieces(found["a again"]) + pieces(found["b again"]))


@every_method
def test_an_object_that_comes_late_and_one_that_leaves(method):
    gone = [("a", t) for t in range(5, LENGTH)] + [("b", t) for t in range(9)]
    found = track(method, three(missed=gone))
    assert sorted(pieces(ids) for ids in found.values()) == [[0], [1], [2]]


@every_method
def test_no_object_and_one_frame(method):
    nothing = Scene({"a": Object(line(4, 4, 3))}, missed=[("a", t) for t in range(LENGTH)])
    assert track(method, nothing) == {}
    assert track(method, Scene({"a": Object([(4, 4)])})) == {"a": [0]}
    # Frames without detections before, between and after.
    seen = [3, 4, 8]
    rare = [("a", t) for t in range(LENGTH) if t not in seen]
    found = track(method, Scene({"a": Object(line(4, 4, 0))}, missed=rare))["a"]
    assert [t for t, x in enumerate(found) if x is not None] == seen and found[3] == found[4]
