import cv2
import numpy as np
import pytest

from maskprop_d2.ops.rle import encode
from maskprop_d2.video import drawing
from maskprop_d2.video.drawing import contact_sheet, draw_tracks, track_color


def rectangle(height, width, y0, x0, y1, x1):
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return encode(mask)


@pytest.fixture
def drawn_labels(monkeypatch):
    """For each label drawn: x0, y0, x1, y1, colour of the rectangle, colour of the text."""
    drawn = []
    draw_rectangle, draw_text = cv2.rectangle, cv2.putText

    def rectangle(image, start, end, color, thickness):
        drawn.append([*start, end[0] + 1, end[1] + 1, color])
        draw_rectangle(image, start, end, color, thickness)

    def text(image, text, origin, font, scale, color, *rest):
        drawn[-1].append(color)
        width = cv2.getTextSize(text, font, scale, rest[0])[0][0]
        assert drawn[-1][0] <= origin[0] and origin[0] + width <= drawn[-1][2]
        draw_text(image, text, origin, font, scale, color, *rest)

    monkeypatch.setattr(drawing.cv2, "rectangle", rectangle)
    monkeypatch.setattr(drawing.cv2, "putText", text)
    return drawn


def to_lab(colors):
    return cv2.cvtColor(np.array([colors], np.float32) / 255, cv2.COLOR_RGB2LAB)[0]


def test_colours_depend_on_the_id_and_differ():
    colors = [track_color(i) for i in range(12)]
    assert colors == [track_color(i) for i in range(12)]
    lab = to_lab(colors)
    distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
    # In CIELAB a difference of 2 is just noticeable.
    assert distances[np.triu_indices(12, 1)].min() > 28
    assert np.diag(distances, 1).min() > 80
    assert np.abs(np.diff(lab[:, 0])).min() > 10
    assert all(0 <= x <= 255 for i in range(0, 10_000, 97) for x in track_color(i))


def test_objects_are_tinted_and_all_else_is_unchanged():
    frame = np.full((120, 160, 3), 100, np.uint8)
    mask = rectangle(120, 160, 60, 40, 100, 90)
    drawn = draw_tracks(frame, [mask], [3], ["cat"], [0.9])
    assert (frame == 100).all()
    tint = 0.55 * 100 + 0.45 * np.array(track_color(3))
    assert np.abs(drawn[64:96, 44:86] - tint).max() <= 1
    # The outline runs along the mask's edge.
    assert np.abs(drawn[99, 45:85].astype(int) - track_color(3)).max() <= 10
    assert (drawn[103:] == 100).all() and (drawn[:, 130:] == 100).all()
    # The label is above the object, not on it.
    assert (drawn[40:58, 40:60] != 100).any()


def test_holes_are_not_tinted():
    mask = np.zeros((100, 100), bool)
    mask[30:90, 20:80] = True
    mask[45:75, 35:65] = False
    drawn = draw_tracks(np.full((100, 100, 3), 100, np.uint8), [mask], [0], ["a"], [1])
    assert (drawn[50:70, 40:60] == 100).all()


def test_arrays_and_rles_are_drawn_the_same():
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    mask = np.zeros((60, 80), bool)
    cv2.circle(mask.view(np.uint8), (70, 10), 25, 1, -1)
    a, b = (draw_tracks(frame, [m], [5], ["a"], [1]) for m in (mask, encode(mask)))
    assert np.array_equal(a, b)


@pytest.mark.parametrize("size", [(37, 53), (128, 192), (192, 96), (720, 1280)])
@pytest.mark.parametrize("name", ["dog", "a rather long category name"])
def test_labels_of_objects_at_the_border_are_inside_the_frame(size, name, drawn_labels):
    height, width = size
    for y, x in ((0, 0), (0, width - 6), (height - 6, 0), (height - 6, width - 6)):
        mask = rectangle(height, width, y, x, y + 6, x + 6)
        draw_tracks(np.zeros((height, width, 3), np.uint8), [mask], [1], [name], [1])
        x0, y0, x1, y1, *_ = drawn_labels[-1]
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert y1 <= y or y0 >= y + 6


def test_labels_do_not_cover_each_other(drawn_labels):
    frame = np.zeros((128, 192, 3), np.uint8)
    mask = rectangle(128, 192, 50, 60, 80, 120)
    draw_tracks(frame, [mask] * 4, [0, 1, 2, 3], ["cat"] * 4, [1] * 4)
    assert len(drawn_labels) == 4
    canvas = np.zeros((128, 192), int)
    for x0, y0, x1, y1, *_ in drawn_labels:
        canvas[y0:y1, x0:x1] += 1
    assert canvas.max() == 1
    # Nor do they cover the object.
    assert canvas[50:80, 60:120].max() == 0


def test_labels_do_not_cover_other_objects(drawn_labels):
    frame = np.zeros((240, 320, 3), np.uint8)
    above, below = rectangle(240, 320, 40, 100, 110, 200), rectangle(240, 320, 120, 100, 235, 200)
    draw_tracks(frame, [above, below], [0, 1], ["cat", "dog"], [1, 1])
    (_, _, _, bottom, *_), (left, top, right, _, *_) = drawn_labels
    assert bottom <= 40
    # There is no room above or below the second object.
    assert (right <= 100 or left >= 200) and top >= 110


def test_a_label_stays_beside_its_object(drawn_labels):
    """Even where it then covers a little of another object."""
    frame = np.zeros((240, 320, 3), np.uint8)
    rows = (60, 80), (47, 52), (85, 90)
    masks = [rectangle(240, 320, top, 0, bottom, 320) for top, bottom in rows]
    draw_tracks(frame, masks, [0, 1, 2], ["rope", "rail", "rail"], [1, 1, 1])
    _, top, _, bottom, *_ = drawn_labels[0]
    assert bottom == 60 or top == 80


def test_a_label_is_near_the_mask_where_its_box_is_mostly_empty(drawn_labels):
    mask = np.zeros((240, 320), np.uint8)
    cv2.line(mask, (100, 0), (300, 150), 1, 12)
    draw_tracks(np.zeros((240, 320, 3), np.uint8), [mask.astype(bool)], [1], ["arm"], [1])
    x0, y0, x1, y1, *_ = drawn_labels[0]
    height = y1 - y0
    assert mask[max(y0 - height, 0) : y1 + height, x0 - height : x1 + height].any()


def test_the_text_has_contrast(drawn_labels):
    mask = rectangle(40, 60, 20, 10, 30, 20)
    for i in range(30):
        draw_tracks(np.zeros((40, 60, 3), np.uint8), [mask], [i], ["a"], [1])
    background, text = (to_lab([p[k] for p in drawn_labels])[:, 0] for k in (4, 5))
    assert np.abs(background - text).min() > 45


def test_an_object_as_large_as_the_frame_is_drawn(drawn_labels):
    whole = rectangle(60, 80, 0, 0, 60, 80)
    drawn = draw_tracks(np.zeros((60, 80, 3), np.uint8), [whole], [2], ["sky"], [0.5])
    assert (drawn.reshape(-1, 3).max(1) > 0).mean() > 0.9
    assert len(drawn_labels) == 1


def test_nothing_to_draw():
    frame = np.full((20, 30, 3), 7, np.uint8)
    drawn = draw_tracks(frame, [], [], [], [])
    assert np.array_equal(drawn, frame) and drawn is not frame
    empty = encode(np.zeros((20, 30), bool))
    assert np.array_equal(draw_tracks(frame, [empty], [1], ["a"], [0.5]), frame)


def test_contact_sheet():
    images = [np.full((10, 20, 3), i, np.uint8) for i in range(5)]
    sheet = contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (22, 64, 3)
    assert sheet[0, 0, 0] == 0 and sheet[12, 22, 0] == 4
    # The gap and the empty last cell.
    assert (sheet[10:12] == 255).all() and (sheet[12:, 44:] == 255).all()
    assert contact_sheet(images[:1], columns=4).shape == (10, 20, 3)
