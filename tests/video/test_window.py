import numpy as np
import pytest

from maskprop_d2.video import window
from maskprop_d2.video.window import Window, open_window


def test_without_a_screen_no_window_is_opened(monkeypatch, caplog):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    assert open_window("title") is None
    assert "No window can be opened here" in caplog.text


class Screen:
    """The windows on a screen, and the key that is pressed."""

    def __init__(self):
        self.shown = {}
        self.key = -1
        self.visible = 1.0


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(window, "PROBE", "")
    monkeypatch.setattr(
        window.cv2, "namedWindow", lambda name, _: screen.shown.update({name: None})
    )
    monkeypatch.setattr(window.cv2, "imshow", lambda name, x: screen.shown.update({name: x}))
    monkeypatch.setattr(window.cv2, "waitKey", lambda _: screen.key)
    monkeypatch.setattr(window.cv2, "getWindowProperty", lambda *_: screen.visible)
    monkeypatch.setattr(window.cv2, "destroyWindow", lambda name: screen.shown.pop(name))
    return screen


RED = np.full((4, 6, 3), (255, 0, 0), np.uint8)


def test_frames_are_shown_in_the_right_colours(screen):
    assert open_window("title").show(RED)
    assert screen.shown["title"][0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("key", [ord("q"), 27])
def test_a_key_closes_the_window(screen, key):
    opened = Window("title")
    screen.key = key
    assert not opened.show(RED)
    assert screen.shown == {}


def test_the_button_closes_the_window(screen):
    opened = Window("title")
    screen.visible = 0.0
    assert not opened.show(RED)
