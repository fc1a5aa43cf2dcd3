from types import SimpleNamespace

import numpy as np
import pytest

from maskprop_d2.errors import VideoError
from maskprop_d2.video import camera
from maskprop_d2.video.camera import Camera
from maskprop_d2.video.excerpt import Excerpt


class Capture:
    """A camera with 30 blue frames at 10 frames/s; frame t has t as its green value."""

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
    """Frame t is read at 100 + 0.1 t seconds of the clock."""
    opened = []

    def make(name):
        opened.append(Capture(name))
        return opened[-1]

    monkeypatch.setattr(camera.cv2, "VideoCapture", make)
    clock = SimpleNamespace(monotonic=lambda: 100 + 0.1 * (opened[-1].count - 1))
    monkeypatch.setattr(camera, "time", clock)


@pytest.mark.parametrize("name", [0, "rtsp://there"])
def test_frames_are_rgb_until_the_camera_stops(name):
    source = Camera(name)
    frames = list(source)
    assert [x[0, 0].tolist() for x in frames] == [[0, t, 255] for t in range(30)]
    assert source.fps == 10 and source.num_frames is None
    assert list(source.timestamps) == list(range(30))
    assert source._capture.released


def test_an_excerpt_of_a_camera():
    source = Camera(0, Excerpt(start=0.45, duration=1, stride=4))
    assert [int(x[0, 0, 1]) for x in source] == [5, 9, 13]
    assert source.fps == 2.5 and list(source.timestamps) == [0, 1, 2]
    assert source._capture.released


def test_timestamps_count_dropped_frames():
    source = Camera(0)
    frames = iter(source)
    for count in (0, 7, 7, 22):
        # As if the camera had dropped those before.
        source._capture.count = max(source._capture.count, count)
        next(frames)
    assert list(source.timestamps) == [0, 7, 8, 22]
    frames.close()
    assert source._capture.released


def test_a_missing_camera():
    with pytest.raises(VideoError, match="camera 1 cannot be opened"):
        Camera(1)
