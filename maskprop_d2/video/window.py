"""A window on the screen."""

import logging
import subprocess
import sys

import cv2
import numpy as np

ESCAPE = 27
# Where there is no screen, OpenCV may end the whole process: hence tried in one of its own.
TRY = "import cv2; cv2.namedWindow('test'); cv2.waitKey(1)"


class Window:
    """Shows frames, as long as the user wants to see them."""

    def __init__(self, title: str):
        """
        Args:
            title: its name.
        """
        self._title = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def show(self, frame: np.ndarray) -> bool:
        """Show a frame, (H, W, 3) uint8 RGB; False once the user has closed the window, by its
        button, with q or with Esc."""
        cv2.imshow(self._title, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) & 0xFF not in (ord("q"), ESCAPE):
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        self.close()
        return False

    def close(self) -> None:
        """Take it off the screen."""
        cv2.destroyWindow(self._title)


def open_window(title: str) -> Window | None:
    """A window, or None where there can be none, and a line in the log that says so: without a
    screen, or with the headless build of OpenCV."""
    attempt = subprocess.run([sys.executable, "-c", TRY], capture_output=True)
    if attempt.returncode == 0:
        return Window(title)
    logging.getLogger(__name__).warning(
        "No window can be opened here: what is segmented is written, but not shown."
    )
    return None
