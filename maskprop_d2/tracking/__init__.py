"""Tracking methods: from clip-level tracks to video-level ids."""

from collections.abc import Callable
from functools import partial

from ..errors import InputError
from .base import Tracker
from .iou import IoUTracker
from .maskprop import MaskPropTracker

__all__ = ["TRACKERS", "IoUTracker", "MaskPropTracker", "Tracker", "build_tracker"]

TRACKERS = ("maskprop", "iou")
"""The methods that ``MODEL.MASKPROP.TRACKER`` can name."""


def build_tracker(
    name: str, *, clip_radius: int, threshold: float, exclusive: bool, match: str = "near"
) -> Callable[[], Tracker]:
    """A factory of one tracker a video, for ``MODEL.MASKPROP.TRACKER``.

    Args:
        name: "maskprop" or "iou".
        clip_radius: T, for the methods that look at more than one frame.
        threshold: matching score above which an id is taken over.
        exclusive: whether an id is given at most once in a frame.
        match: see ``MaskPropTracker``.

    Raises:
        InputError: for an unknown name.
    """
    if name == "maskprop":
        return partial(
            MaskPropTracker,
            clip_radius=clip_radius,
            threshold=threshold,
            exclusive=exclusive,
            match=match,
        )
    if name == "iou":
        return partial(IoUTracker, threshold=threshold, exclusive=exclusive)
    raise InputError(f"unknown tracking method '{name}': there are {', '.join(TRACKERS)}")
