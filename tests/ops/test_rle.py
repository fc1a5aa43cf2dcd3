import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from maskprop_d2.errors import MaskSizeError
from maskprop_d2.ops.rle import (
    _decompress,
    compress_tracks,
    decode,
    decode_box,
    encode,
    to_rle,
    track_to_counts,
)

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@given(masks)
def test_masks_are_decoded_as_they_were_encoded(mask):
    rle = encode(mask)
    assert np.array_equal(decode(rle), mask)
    assert to_rle(rle, *mask.shape) == rle
    runs, firsts, errors = _decompress([rle["counts"].encode()])
    assert firsts.tolist() == [0] and not errors
    assert np.array_equal(np.repeat(np.arange(len(runs)) % 2 == 1, runs), mask.ravel("F"))
    uncompressed = {"size": list(mask.shape), "counts": runs.tolist()}
    assert np.array_equal(decode(to_rle(uncompressed, *mask.shape)), mask)


@given(masks)
def test_decoding_the_box(mask):
    x0, y0, inside = decode_box(encode(mask))
    if not mask.any():
        assert inside.size == 0
        return
    whole = np.zeros_like(mask)
    whole[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]] = inside
    assert np.array_equal(whole, mask)
    assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


# Hypothesis takes 10 s to find out what all characters of Unicode are.
CHARACTERS = "".join(map(chr, range(256))) + "\ud800☃😀"


@settings(max_examples=300)
@given(st.text(CHARACTERS, max_size=30), st.integers(1, 50), st.integers(1, 50))
def test_random_counts_are_rejected_or_fill_the_frame(counts, height, width):
    try:
        rle = to_rle({"size": [height, width], "counts": counts}, height, width)
    except ValueError:
        return
    assert decode(rle).shape == (height, width)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 6))
def test_empty_runs_are_decoded(runs, height):
    """Some programs write runs of length 0, and pycocotools reads them."""
    runs[-1] += -sum(runs) % height or height
    width = sum(runs) // height
    expected = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
    rle = to_rle({"size": [height, width], "counts": runs}, height, width)
    x0, y0, inside = decode_box(rle)
    assert np.array_equal(decode(rle), expected)
    assert np.array_equal(expected[y0 : y0 + len(inside), x0:][:, : inside.shape[1]], inside)
    assert inside.sum() == expected.sum() == coco_mask.area(rle)
    assert track_to_counts([rle], height, width)[1] == [expected.sum()]


corners = st.lists(st.integers(0, 12), min_size=6, max_size=10).map(lambda x: x[: len(x) // 2 * 2])


@given(st.lists(corners, min_size=1, max_size=3))
def test_several_polygons_are_their_union(polygons):
    together = decode(to_rle(polygons, 9, 11))
    each = [decode(to_rle([polygon], 9, 11)) for polygon in polygons]
    assert np.array_equal(together, np.any(each, axis=0))


def test_polygon():
    rle = to_rle([[0, 0, 5, 0, 5, 3, 0, 3], [7, 0, 9, 0, 9, 1, 7, 1]], 6, 10)
    assert decode(rle).sum() == 5 * 3 + 2


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("text", "must be an RLE"),
        ({"counts": "1"}, "size is None"),
        ({"size": [9, 9], "counts": "1"}, "size is"),
        ({"size": [4, 5], "counts": [19]}, "add up to the pixels"),
        ({"size": [4, 5], "counts": [25, -5]}, "add up to"),
        ({"size": [4, 5], "counts": [10**30]}, "add up to"),
        ({"size": [4, 5], "counts": ["20"]}, "string or a list"),
        ({"size": [4, 5], "counts": ""}, "add up to"),
        ({"size": [4, 5], "counts": "\x7f\x7f"}, "an invalid character"),
        ({"size": [4, 5], "counts": "oooooooooo0"}, "a number that is too large"),
        ({"size": [4, 5], "counts": "é20"}, "an invalid character"),
        ({"size": [4, 5], "counts": "\ud800"}, "an invalid character"),
        ({"size": [10**9, 10**9], "counts": "d"}, r"size is \[1000000000, 1000000000\]"),
        ({"size": [4, 5], "counts": "d"}, "middle of a number"),
        ([], "must not be empty"),
        ([[1, 2, 3, 4]], "three points"),
        ([[1, 2, 3, 4, 5, "6"]], "numbers of pixels"),
        ([[1, 2, 3, 4, 5, float("nan")]], "numbers of pixels"),
        ([[1, 2, 3, 4, 5, 1e300]], "numbers of pixels"),
        ([[0, 0, 9e4, 0, 0, 9e4] * 10], "the limit is 1048576"),
    ],
)
def test_invalid_masks_are_rejected(segmentation, message):
    with pytest.raises(ValueError, match=message):
        to_rle(segmentation, 4, 5)


@given(st.data(), st.integers(1, 12), st.integers(1, 12))
def test_counts_and_areas_of_a_track(data, height, width):
    mask = arrays(bool, (height, width))
    drawn = data.draw(st.lists(st.none() | mask, max_size=5))
    rles = [None if x is None else encode(x) for x in drawn]
    counts, areas = track_to_counts(rles, height, width)
    assert [x and x.decode() for x in counts] == [x and x["counts"] for x in rles]
    assert areas.tolist() == [0 if x is None else x.sum() for x in drawn]


def test_errors_of_a_track_name_the_frame():
    right = {"size": [4, 5], "counts": [20]}
    with pytest.raises(ValueError, match=r"frame 2: .* add up"):
        track_to_counts([right, None, {"size": [4, 5], "counts": "1"}], 4, 5)
    with pytest.raises(MaskSizeError, match="frame 1: the mask's size"):
        track_to_counts([right, {"size": [5, 4], "counts": [20]}], 4, 5)


anything = st.one_of(
    st.none(),
    st.lists(st.integers(0, 20), min_size=1, max_size=4).map(
        lambda x: {"size": [4, 5], "counts": x}
    ),
    st.text("0dDoPé", max_size=4).map(lambda x: {"size": [4, 5], "counts": x}),
    arrays(bool, (4, 5)).map(encode),
    st.sampled_from([{"size": [5, 4], "counts": [20]}, [[0, 0, 3, 0, 3, 3]], "text"]),
)


@settings(max_examples=300)
@given(st.lists(st.lists(anything, max_size=4), max_size=4))
def test_bad_masks_do_not_change_others_of_the_same_call(tracks):
    for masks, together in zip(tracks, compress_tracks([(x, 4, 5) for x in tracks]), strict=True):
        for t, mask in enumerate(masks):
            ((counts,), (area,), errors) = compress_tracks([([mask], 4, 5)])[0]
            assert (together.counts[t], together.areas[t]) == (counts, area)
            assert str(together.errors.get(t)) == str(errors.get(0))
            assert counts is None or not errors


def test_an_empty_run_of_ones_is_an_empty_mask():
    rle = to_rle({"size": [4, 4], "counts": [6, 0, 10]}, 4, 4)
    assert decode_box(rle)[2].size == 0
