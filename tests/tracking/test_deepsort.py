"""The Kalman filter of DeepSORT, and its use of motion, appearance and age."""

import numpy as np
import pytest
from scenes import Object, Scene, id_runs, track

from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.deepsort import GATE
from maskprop_d2.tracking.kalman import BoxFilter, to_measurements

RED, BLUE = (200, 60, 60), (60, 60, 200)


def follow(velocity, frames, height=40.0):
    """A filter that was updated with a box moving by ``velocity`` pixels per frame."""
    boxes = BoxFilter(np.array([100.0, 50.0, 0.5, height]))
    for t in range(1, frames):
        boxes.predict()
        boxes.update(np.array([100 + velocity * t, 50, 0.5, height]))
    return boxes


def test_the_filter_estimates_the_velocity_and_extrapolates():
    boxes = follow(3.0, 30)
    assert boxes.mean[4] == pytest.approx(3, abs=0.05)
    last = boxes.mean[0]
    for _ in range(5):
        boxes.predict()
    assert boxes.mean[0] == pytest.approx(last + 15, abs=0.5)
    assert boxes.mean[1:4] == pytest.approx([50, 0.5, 40], abs=0.01)


def test_an_update_is_the_product_of_two_gaussians():
    boxes = BoxFilter(np.array([100.0, 50.0, 0.5, 40.0]))
    boxes.predict()
    prior = boxes.covariance[0, 0]
    # By hand: (2 * 2)^2 at the start + (10 / 160 * 40)^2 of velocity + 2^2 of one step.
    assert prior == pytest.approx(16 + 6.25 + 4)
    boxes.update(np.array([106.0, 50.0, 0.5, 40.0]))
    assert boxes.mean[0] == pytest.approx(100 + 6 * prior / (prior + 4))
    assert boxes.covariance[0, 0] == pytest.approx(prior * 4 / (prior + 4))
    assert np.linalg.eigvalsh(boxes.covariance).min() > 0


def test_the_gate_widens_while_an_object_is_not_seen():
    boxes = follow(0.0, 30)
    measured = np.array([[112.0, 50.0, 0.5, 40.0], [100.0, 50.0, 0.5, 40.0]])
    boxes.predict()
    assert boxes.distances(measured)[0] > GATE > boxes.distances(measured)[1]
    for _ in range(10):
        boxes.predict()
    assert boxes.distances(measured)[0] < GATE


def test_boxes_without_area_are_valid_measurements():
    assert to_measurements(np.array([[5.0, 6, 5, 6], [0, 0, 20, 40]])).tolist() == [
        [5, 6, 1, 1],
        [10, 20, 0.5, 40],
    ]
    boxes = BoxFilter(to_measurements(np.array([[5.0, 6, 5, 6]]))[0])
    boxes.predict()
    assert np.isfinite(boxes.distances(np.array([[5.0, 6, 1, 1]]))).all()


def test_appearance_identifies_objects_that_swap_places_while_hidden():
    """They are hidden for so long that motion allows either place."""
    places = [[(x, 30) if t < 16 else (y, 30) for t in range(32)] for x, y in ((50, 80), (80, 50))]
    hidden = [(name, t) for name in "ab" for t in range(6, 26)]
    a, b = Object(places[0], 1, color=RED), Object(places[1], 2, color=BLUE)
    found = track("deepsort", Scene({"a": a, "b": b}, hidden))
    assert [id_runs(found[name]) for name in "ab"] == [[0], [1]]


@pytest.mark.parametrize(("gap", "ids"), [(0, {0}), (2, {0, 1})])
def test_overlap_alone_links_only_to_tracks_of_the_previous_frame(gap, ids):
    """An object of another colour takes the place of one that is gone."""
    a = Object([(50, 30)] * 14, 1, color=RED)
    b = Object([(50, 30)] * 14, 2, color=BLUE)
    hidden = [("a", t) for t in range(6, 14)] + [("b", t) for t in range(6 + gap)]
    scene = Scene({"b": b, "a": a}, hidden)
    # The object in front is drawn.
    red = list(scene.images())[:6]
    scene.objects = {"a": a, "b": b}
    blue = list(scene.images())[6:]
    scene.images = lambda: iter(red + blue)
    found = track("deepsort", scene)
    assert set(id_runs(found["a"]) + id_runs(found["b"])) == ids


def test_a_confirmed_track_ends_after_max_age_and_a_new_one_after_one_miss():
    def ids(missed):
        scene = Scene({"a": Object([(50, 30)] * 14)}, [("a", t) for t in missed])
        tracker = build_tracker("deepsort", scene, max_age=4)
        return [y for frame in scene.frames() for y in tracker.link(frame)]

    assert set(ids([5, 6, 7])) == {0}
    assert set(ids([5, 6, 7, 8])) == {0, 1}
    # Not confirmed after two detections.
    assert ids([2])[:4] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="'deepsort': max_age must be at least 1, not 0"):
        build_tracker("deepsort", None, max_age=0)
