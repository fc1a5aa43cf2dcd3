"""Carrying masks through drawn videos with the network of the package."""

import numpy as np
import pytest

from maskprop_d2 import propagate
from maskprop_d2.errors import InputError
from maskprop_d2.inference.propagation import propagate_stream
from tests.scenes import HEIGHT, SIDE, WIDTH, Object, Scene

LENGTH = 6
PATHS = {
    "a": [(10 + 6 * t, 20) for t in range(LENGTH)],
    "b": [(110, 50 - 4 * t) for t in range(LENGTH)],
}
COLORS = {"a": (200, 60, 60), "b": (60, 60, 200)}


@pytest.fixture(scope="module")
def frames():
    objects = {n: Object(x, i, color=COLORS[n]) for i, (n, x) in enumerate(PATHS.items())}
    return list(Scene(objects).images())


def true_masks(t):
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    for mask, path in zip(masks, PATHS.values(), strict=True):
        left, top = path[t]
        mask[top : top + SIDE, left : left + SIDE] = True
    return masks


def iou(a, b):
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2))


@pytest.mark.parametrize("source", [0, 2, LENGTH - 1])
def test_masks_follow_their_objects(frames, source):
    masks = propagate(frames, true_masks(source), source)
    assert masks.shape == (LENGTH, 2, HEIGHT, WIDTH) and masks.dtype == np.float32
    assert masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_array_equal(masks[source], true_masks(source))
    for t in range(LENGTH):
        assert iou(masks[t] > 0.5, true_masks(t)).min() > 0.8


def test_copying_the_masks_is_much_worse():
    assert iou(true_masks(0), true_masks(LENGTH - 1)).max() < 0.4


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float32, np.int64])
def test_type_of_the_masks_does_not_matter(frames, dtype):
    expected = propagate(frames[:2], true_masks(0))
    result = propagate(frames[:2], true_masks(0).astype(dtype))
    np.testing.assert_allclose(result, expected, atol=0.02)


def test_frames_may_come_one_by_one(frames):
    expected = propagate(frames[:3], true_masks(1), source=1)
    np.testing.assert_array_equal(propagate(iter(frames[:3]), true_masks(1), source=1), expected)


def test_no_objects(frames):
    assert propagate(frames, np.zeros((0, HEIGHT, WIDTH))).shape == (LENGTH, 0, HEIGHT, WIDTH)


def test_large_frames_are_processed_smaller(frames):
    """The masks still have the size of the frames."""
    large = [np.kron(x, np.ones((6, 6, 1), np.uint8)) for x in frames[:2]]
    masks = np.kron(true_masks(0), np.ones((6, 6), bool))
    result = propagate(large, masks)
    truth = np.kron(true_masks(1), np.ones((6, 6), bool))
    assert iou(result[1] > 0.5, truth).min() > 0.8


def test_frames_are_read_one_at_a_time(frames):
    read = 0

    def counted():
        nonlocal read
        for read, frame in enumerate(frames, 1):  # noqa: B007
            yield frame

    for count, _ in enumerate(propagate_stream(counted(), true_masks(0)), 1):
        assert read == count


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((HEIGHT, WIDTH)), "masks must be an \\(N, H, W\\) array"),
        (np.full((1, HEIGHT, WIDTH), 2.0), "from 0 to 1"),
        (np.full((1, HEIGHT, WIDTH), np.nan), "from 0 to 1"),
        (np.zeros((1, 5, WIDTH)), "frame 0 .* of the masks' size"),
    ],
)
def test_wrong_masks(frames, masks, message):
    with pytest.raises(InputError, match=message):
        propagate(frames, masks)


def test_wrong_frames(frames):
    with pytest.raises(InputError, match="frame 1 is a float64 array"):
        propagate([frames[0], frames[1] / 255], true_masks(0))
    with pytest.raises(InputError, match="source must be one of the 6 frames, not 6"):
        propagate(frames, true_masks(0), source=6)
