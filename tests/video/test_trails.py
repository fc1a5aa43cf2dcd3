import cv2
import numpy as np

from maskprop_d2.ops.rle import encode
from maskprop_d2.video import drawing
from maskprop_d2.video.drawing import Trails, draw_tracks, track_color


def draw(trails):
    image = np.zeros((60, 100, 3), np.uint8)
    trails.draw(image)
    return image


def has_color(pixels, track_id):
    """Whether each pixel has the colour of a track, apart from antialiasing."""
    return np.abs(pixels.astype(int) - track_color(track_id)).max(-1) < 55


def test_a_trail_connects_the_last_centres():
    trails = Trails(length=3)
    for x in range(10, 90, 10):
        trails.add_frame({7: (x, 30.0)})
    image = draw(trails)
    columns = np.flatnonzero(has_color(image[30], 7))
    assert 49 <= columns[0] <= 51 and 79 <= columns[-1] <= 82
    assert (np.diff(columns) == 1).all()
    assert image[:26].max() == 0 and image[34:].max() == 0


def test_each_object_has_its_own_trail_across_gaps_and_after_its_end():
    trails = Trails(length=10)
    trails.add_frame({0: (10.0, 10.0), 1: (10.0, 50.0)})
    trails.add_frame({1: (50.0, 50.0)})
    trails.add_frame({0: (90.0, 10.0)})
    image = draw(trails)
    assert has_color(image[10, 50], 0) and has_color(image[50, 30], 1)
    assert image[50, 60].max() == 0 and image[15:45].max() == 0
    for _ in range(11):
        trails.add_frame({})
    assert draw(trails).max() == 0


def test_old_parts_are_thinner_and_subpixel_steps_are_drawn(monkeypatch):
    lines = []

    def line(image, start, end, color, thickness, kind, shift):
        lines.append((start[0] / 2**shift, end[0] / 2**shift, thickness))

    monkeypatch.setattr(drawing.cv2, "line", line)
    trails = Trails(length=4)
    for i in range(5):
        trails.add_frame({0: (10 + 0.25 * i, 10.0)})
    trails.draw(np.zeros((900, 900, 3), np.uint8))
    assert [x[:2] for x in lines] == [(10 + 0.25 * i, 10.25 + 0.25 * i) for i in range(4)]
    assert [x[2] for x in lines] == sorted(x[2] for x in lines) and lines[0][2] < lines[-1][2]


def test_drawing_tracks_with_trails():
    frame = np.full((120, 160, 3), 100, np.uint8)
    trails = Trails(length=5)
    for x in (20, 40, 60, 80):
        mask = np.zeros((120, 160), np.uint8)
        cv2.circle(mask, (x, 60), 8, 1, -1)
        drawn = draw_tracks(frame, [encode(mask)], [3], ["cat"], [0.9], trails)
    # From the first centre to the last, in the track's colour, and nothing before.
    assert np.abs(drawn[60, 22:80].astype(int) - track_color(3)).max() <= 15
    assert (drawn[60, :18] == 100).all()
    assert np.array_equal(frame, np.full_like(frame, 100))
    untouched = draw_tracks(frame, [encode(mask)], [3], ["cat"], [0.9])
    assert (untouched[60, 22:60] == 100).all()
