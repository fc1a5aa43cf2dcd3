from types import SimpleNamespace

import numpy as np
import pytest

from maskprop_d2.errors import VideoError
from maskprop_d2.video import camera
from maskprop_d2.video.camera import Camera
from maskprop_d2.video.excerpt import Excerpt


class Capture:
    """A camera of ten frames a second that gives 30 blue frames, the t-th with t as its green."""

    def __init__(self, name):
        self.name = name
        self.count = 0
        self.released = False

    def isOpened(self):
        return self.name in (0, "rtsp://there")

    def get(self, _):
        return 10.0

    def set(self, *_):
        return False

    def read(self):
        self.count += 1
        if self.count > 30:
            return False, None
        return True, np.full((4, 6, 3), (255, self.count - 1, 0), np.uint8)

    def release(self):
        self.released = True


@pytest.fixture(autouse=True)
def capture(monkeypatch):
    """Each frame is read at 100 + 0.1 t seconds of the clock."""
    opened = []

    def make(name):
        opened.append(Capture(name))
        return opened[-1]

    monkeypatch.setattr(camera.cv2, "VideoCapture", make)
    clock = SimpleNamespace(monotonic=lambda: 100 + 0.1 * (opened[-1].count - 1))
    monkeypatch.setattr(camera, "time", clock)


@pytest.mark.parametrize("name", [0, "rtsp://there"])
def test_a_camera_gives_rgb_until_it_ends(name):
    source = Camera(name)
    frames = list(source)
    assert [x[0, 0].tolist() for x in frames] == [[0, t, 255] for t in range(30)]
    assert source.fps == 10 and source.num_frames is None
    assert list(source.places) == list(range(30))
    assert source._capture.released


def test_a_part_of_what_a_camera_sees():
    source = Camera(0, Excerpt(start=0.45, duration=1, stride=4))
    assert [int(x[0, 0, 1]) for x in source] == [5, 9, 13]
    assert source.fps == 2.5 and list(source.places) == [0, 1, 2]
    assert source._capture.released


def test_frames_that_come_slowly_have_their_place_in_time():
    source = Camera(0)
    frames = iter(source)
    for count in (0, 7, 7, 22):
        # As if those before had been left out by the camera.
        source._capture.count = max(source._capture.count, count)
        next(frames)
    assert list(source.places) == [0, 7, 8, 22]
    frames.close()
    assert source._capture.released


def test_a_camera_that_is_not_there():
    with pytest.raises(VideoError, match="camera 1 cannot be opened"):
        Camera(1)
