import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskprop_d2.ops.rle import _decompress, decode, encode, to_rle

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


@settings(deadline=None)
@given(masks)
def test_encoding_keeps_the_mask_and_its_runs_are_read_back(mask):
    rle = encode(mask)
    assert np.array_equal(decode(rle), mask)
    assert to_rle(rle, *mask.shape) == rle
    runs = _decompress(rle["counts"])
    assert np.array_equal(np.repeat(np.arange(len(runs)) % 2 == 1, runs), mask.ravel("F"))
    uncompressed = {"size": list(mask.shape), "counts": runs.tolist()}
    assert np.array_equal(decode(to_rle(uncompressed, *mask.shape)), mask)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=30), st.integers(1, 50), st.integers(1, 50))
def test_counts_of_any_text_are_refused_or_fill_the_frame(counts, height, width):
    try:
        rle = to_rle({"size": [height, width], "counts": counts}, height, width)
    except ValueError:
        return
    assert decode(rle).shape == (height, width)


def test_polygon():
    rle = to_rle([[0, 0, 5, 0, 5, 3, 0, 3], [7, 0, 9, 0, 9, 1, 7, 1]], 6, 10)
    assert decode(rle).sum() == 5 * 3 + 2


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("text", "must be an RLE"),
        ({"counts": "1"}, "size is None"),
        ({"size": [9, 9], "counts": "1"}, "size is"),
        ({"size": [4, 5], "counts": [19]}, "add up to the 4 x 5"),
        ({"size": [4, 5], "counts": [25, -5]}, "add up to"),
        ({"size": [4, 5], "counts": [10**30]}, "add up to"),
        ({"size": [4, 5], "counts": ["20"]}, "string or a list"),
        ({"size": [4, 5], "counts": ""}, "add up to"),
        ({"size": [4, 5], "counts": "\x7f\x7f"}, "do not belong"),
        ({"size": [4, 5], "counts": "oooooooooo0"}, "far too large"),
        ({"size": [4, 5], "counts": "d"}, "middle of a number"),
        ([], "must not be empty"),
        ([[1, 2, 3, 4]], "three points"),
        ([[1, 2, 3, 4, 5, "6"]], "numbers of pixels"),
        ([[1, 2, 3, 4, 5, float("nan")]], "numbers of pixels"),
        ([[1, 2, 3, 4, 5, 1e300]], "numbers of pixels"),
    ],
)
def test_what_is_no_mask_of_that_size_is_refused(segmentation, message):
    with pytest.raises(ValueError, match=message):
        to_rle(segmentation, 4, 5)
