"""Linking given detections in drawn videos."""

import numpy as np
import pytest
import torch

from maskprop_d2 import link
from maskprop_d2.errors import InputError
from maskprop_d2.inference.linking import build_linker
from maskprop_d2.ops.rle import decode
from maskprop_d2.structures import Detections
from maskprop_d2.tracking.generic import BORDER_FILL
from tests.scenes import HEIGHT, SIDE, WIDTH, Object, Scene

LENGTH = 12
PATHS = {
    "a": [(8 + 6 * t, 16) for t in range(LENGTH)],
    "b": [(90 - 6 * t, 56) for t in range(LENGTH)],
}


def true_mask(name, t):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    left, top = PATHS[name][t]
    mask[top : top + SIDE, left : left + SIDE] = True
    return mask


@pytest.fixture(scope="module")
def frames():
    colors = {"a": (200, 60, 60), "b": (60, 60, 200)}
    objects = {n: Object(x, i, color=colors[n]) for i, (n, x) in enumerate(PATHS.items())}
    return list(Scene(objects).images())


def detections(missed=(), labels=None):
    """Those of both objects, in changing order. ``missed``: (name, t) without a detection."""
    for t in range(LENGTH):
        names = [x for x in ("ab", "ba")[t % 2] if (x, t) not in missed]
        masks = [true_mask(x, t) for x in names]
        yield Detections(
            np.stack(masks) if masks else np.zeros((0, HEIGHT, WIDTH), bool),
            np.full(len(names), 0.8, np.float32),
            np.array([(labels or {}).get((x, t), "ab".index(x)) for x in names], np.int64),
        )


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("tracker", ["maskprop", "flow", "iou", "iou_plus", "deepsort"])
def test_two_objects_are_two_tracks(frames, tracker):
    stream = link(frames, detections(), tracker=tracker)
    results = list(stream)
    assert [x.index for x in results] == list(range(LENGTH))
    tracks = stream.tracks()
    assert sorted(tracks.pred_labels) == [0, 1]
    for label, masks in zip(tracks.pred_labels, tracks.pred_masks, strict=True):
        for t, rle in enumerate(masks):
            np.testing.assert_array_equal(decode(rle), true_mask("ab"[label], t))


def test_gaps_are_filled_with_propagated_masks(frames):
    missed = {("a", t) for t in range(5, 10)}
    stream = link(frames, detections(missed))
    assert all(len(x.track_ids) == 2 for x in stream)
    tracks = stream.tracks()
    masks = tracks.pred_masks[tracks.pred_labels.index(0)]
    for t in range(5, 10):
        assert overlap(decode(masks[t]).astype(bool), true_mask("a", t)) > 0.7


def test_fill_limits_the_length_of_gaps(frames):
    missed = {("a", t) for t in range(5, 10)}
    lengths = [len(x.track_ids) for x in link(frames, detections(missed), fill=2)]
    assert lengths == [2] * 7 + [1] * 3 + [2] * 2


def test_an_object_at_the_border_may_have_left(frames):
    """Object "a" touches the upper border of these cropped frames."""
    top = PATHS["a"][0][1]
    missed = {("a", t) for t in range(5, 10)}
    cropped = [Detections(x.masks[:, top:], x.scores, x.labels) for x in detections(missed)]
    lengths = [len(x.track_ids) for x in link([x[top:] for x in frames], cropped)]
    assert lengths == [2] * (5 + BORDER_FILL) + [1] * (5 - BORDER_FILL) + [2] * 2


def test_mistakes_of_the_detector_are_not_filled(frames):
    missed = {("a", t) for t in range(1, LENGTH)}
    assert len(link_all(frames, detections(missed))[-1].track_ids) == 1


def link_all(*args, **options):
    return list(link(*args, **options))


def test_changing_categories_keep_their_track(frames):
    labels = {("a", t): 7 for t in range(1, LENGTH, 3)}
    results = link_all(frames, detections(labels=labels))
    assert {y for x in results for y in x.track_ids} == {0, 1}
    assert sorted(results[-1].labels) == [0, 1]


def test_frames_without_detections(frames):
    missed = {(x, t) for x in "ab" for t in (0, 1, 6)}
    results = link_all(frames, detections(missed))
    assert [len(x.track_ids) for x in results[:2]] == [0, 0]
    assert {y for x in results for y in x.track_ids} == {0, 1}


def test_of_two_equal_detections_one_is_linked(frames):
    mask = true_mask("a", 0)[None]
    twice = Detections(mask.repeat(2, 0), np.float32([0.6, 0.9]), np.array([3, 5]))
    names = ["cat"] * 5 + ["dog"]
    (result,) = link(frames[:1], [twice], class_names=names)
    assert result.labels == [5] and result.class_names == names


@pytest.mark.parametrize(("label", "count"), [(0, 1), (7, 2)])
def test_a_part_of_an_object_is_not_another_one(frames, label, count):
    """Unless it has a category of its own, as a bag that somebody carries."""
    whole = true_mask("a", 0)
    part = whole.copy()
    part[16 + SIDE // 2 :] = False
    given = Detections(np.stack([part, whole]), np.float32([0.5, 0.9]), np.array([label, 0]))
    (result,) = link(frames[:1], [given])
    assert len(result.track_ids) == count


def test_plain_arrays_are_enough(frames):
    given = ({"masks": x.masks, "scores": x.scores} for x in detections())
    assert {y for x in link_all(frames, given) for y in x.track_ids} == {0, 1}


def test_too_few_and_too_many_detections(frames):
    with pytest.raises(InputError, match="no detections for frame 3"):
        link_all(frames, list(detections())[:3])
    with pytest.raises(InputError, match="more detections than frames"):
        link_all(frames[:3], detections())


def test_a_path_instead_of_frames():
    with pytest.raises(InputError, match=r"frames must be arrays.*VideoFile\('a.mp4'\)"):
        link("a.mp4", [])


def test_wrong_detections_name_their_frame(frames):
    given = list(detections())
    given[2] = {"masks": np.zeros((1, 2, 3, 4))}
    with pytest.raises(InputError, match="frame 2"):
        link_all(frames, given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracker": "sort"}, "unknown tracking method 'sort'"),
        ({"tracker": "flow", "fill": 3}, "no option 'fill'"),
        ({"clip_radius": 3}, "clip_radius"),
        ({"categories": 2}, "categories must be in 0..1"),
        ({"fill": -1}, "must not be negative"),
        ({"tracker": "feelvos"}, "feelvos"),
    ],
)
def test_wrong_options(frames, options, message):
    with pytest.raises(InputError, match=message):
        link_all(frames, detections(), **options)


@pytest.mark.parametrize("tracker", ["maskprop", "iou"])
def test_what_the_tracker_compares_is_on_the_device(frames, tracker):
    found = [next(detections())]
    # "meta" stands for a GPU: it has no values, but devices must agree.
    linker = build_linker(lambda _: found, tracker=tracker, device="meta")
    (output,) = linker.network.detect(torch.from_numpy(frames[0]).permute(2, 0, 1)[None])
    compared = vars(output) | output.maps
    del compared["box_masks"]
    tensors = [x for x in compared.values() if isinstance(x, torch.Tensor)]
    assert {x.device.type for x in tensors} == {"meta"}
