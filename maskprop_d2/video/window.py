"""Showing frames in a window."""

import logging
import subprocess
import sys

import cv2
import numpy as np

ESCAPE = 27
# Without a screen, OpenCV may abort the process, so this is tried in another one.
PROBE = "import cv2; cv2.namedWindow('test'); cv2.waitKey(1)"


class Window:
    """A window that the user can close with its button, with q or with Esc."""

    def __init__(self, title: str):
        self._title = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self._is_shown = False

    def show(self, frame: np.ndarray) -> bool:
        """Show a frame, (H, W, 3) uint8 RGB; False if the user has closed the window."""
        # It may have been closed while another window was shown.
        if self._is_shown and not self._is_open():
            return False
        self._is_shown = True
        cv2.imshow(self._title, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) & 0xFF not in (ord("q"), ESCAPE):
            return self._is_open()
        cv2.destroyWindow(self._title)
        return False

    def _is_open(self) -> bool:
        return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1


def open_window(title: str) -> Window | None:
    """Open a window; without a screen or with a headless build of OpenCV, log a warning and
    return None."""
    if subprocess.run([sys.executable, "-c", PROBE], capture_output=True).returncode == 0:
        return Window(title)
    logging.getLogger(__name__).warning(
        "No window can be opened here: the output is written, but not shown."
    )
    return None
