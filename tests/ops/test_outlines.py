"""Polygons along the borders of masks."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskprop_d2.ops.outlines import part_polygons, single_polygon
from maskprop_d2.ops.rle import decode, to_rle

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None)
@given(arrays(bool, SIZES))
def test_polygons_give_back_any_mask(mask):
    if not mask.any():
        assert part_polygons(mask) == []
        return
    polygons = part_polygons(mask)
    assert (decode(to_rle(polygons, *mask.shape)) == mask).all()
    assert (decode(to_rle([single_polygon(mask)], *mask.shape)) == mask).all()
    num_parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1
    assert len(polygons) == num_parts
    areas = [decode(to_rle([polygon], *mask.shape)).sum() for polygon in polygons]
    assert areas == sorted(areas, reverse=True)


def test_a_box_has_four_corners():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    assert part_polygons(mask) == [[2, 1, 6, 1, 6, 3, 2, 3]]


@pytest.mark.parametrize(("tolerance", "overlap", "points"), [(1, 0.97, 60), (2, 0.94, 30)])
def test_tolerance_saves_points(tolerance, overlap, points):
    drawn = np.zeros((120, 160), np.uint8)
    cv2.circle(drawn, (80, 60), 40, 1, -1)
    cv2.circle(drawn, (85, 60), 15, 0, -1)
    # Too small to lose a point.
    drawn[2, 3] = 1
    mask = drawn > 0
    assert len(part_polygons(mask)[0]) > 400
    simple = part_polygons(mask, tolerance)
    assert len(simple[0]) // 2 < points and len(simple) == 2
    found = decode(to_rle(simple, *mask.shape))
    assert (found & mask).sum() / (found | mask).sum() > overlap
