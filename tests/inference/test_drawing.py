import numpy as np
import pytest

from maskprop_d2.inference.drawing import contact_sheet, draw_tracks, track_color
from maskprop_d2.ops.rle import encode


def rectangle(height, width, y0, x0, y1, x1):
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return encode(mask)


def test_colours_belong_to_ids_and_differ():
    colors = [track_color(i) for i in range(12)]
    assert colors == [track_color(i) for i in range(12)]
    for i, a in enumerate(colors):
        for b in colors[:i]:
            assert np.abs(np.subtract(a, b)).sum() > 60


def test_objects_are_tinted_and_the_rest_and_the_input_stay():
    frame = np.full((120, 160, 3), 100, np.uint8)
    mask = rectangle(120, 160, 60, 40, 100, 90)
    drawn = draw_tracks(frame, [mask], [3], ["cat"], [0.9])
    assert (frame == 100).all()
    tint = 0.55 * 100 + 0.45 * np.array(track_color(3))
    assert np.abs(drawn[80, 60] - tint).max() <= 1
    assert (drawn[110, 140] == 100).all()
    # The label stands above the object, not on it.
    assert (drawn[40:58, 40:60] != 100).any()
    assert np.abs(drawn[64:96, 44:86] - tint).max() <= 1


@pytest.mark.parametrize("size", [(37, 53), (128, 192), (720, 1280)])
def test_labels_stay_inside_at_borders_and_do_not_cover_each_other(size):
    height, width = size
    frame = np.zeros((height, width, 3), np.uint8)
    corner = rectangle(height, width, 0, width - 6, 6, width)
    whole = rectangle(height, width, 0, 0, height, width)
    drawn = draw_tracks(frame, [corner, whole, whole], [0, 1, 2], ["a", "b", "c"], [1, 0.5, 0])
    assert drawn.shape == frame.shape


def test_nothing_to_draw():
    frame = np.full((20, 30, 3), 7, np.uint8)
    assert np.array_equal(draw_tracks(frame, [], [], [], []), frame)
    empty = encode(np.zeros((20, 30), bool))
    assert np.array_equal(draw_tracks(frame, [empty], [1], ["a"], [0.5]), frame)


def test_contact_sheet():
    images = [np.full((10, 20, 3), i, np.uint8) for i in range(5)]
    sheet = contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (22, 64, 3)
    assert sheet[0, 0, 0] == 0 and sheet[12, 22, 0] == 4 and sheet[12, 44, 0] == 255
    assert contact_sheet(images[:1], columns=4).shape == (10, 20, 3)
