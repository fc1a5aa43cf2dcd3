"""
Tracking methods: which detections of a video's frames are one object.

Each method is a file with a function ``build``, which takes ``Linking`` and the method's own
options and gives a ``TrackerFactory``; ``TRACKERS`` names them. What methods share stands in files
of its own; no method knows another.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InputError
from . import (
    deepsort,
    ensemble,
    feelvos,
    flow,
    iou,
    iou_plus,
    maskprop,
    masktrack,
    osmn,
    seqtracker,
)
from .base import Linking, Tracker, TrackerFactory
from .mask_propagator import MaskPropagator

__all__ = [
    "MASK_PROPAGATORS",
    "OWN_WEIGHTS",
    "TRACKERS",
    "Linking",
    "MaskPropagator",
    "Tracker",
    "TrackerFactory",
    "build_tracker",
]

TRACKERS: dict[str, Callable[..., TrackerFactory]] = {
    "maskprop": maskprop.build,
    "flow": flow.build,
    "iou": iou.build,
    "iou_plus": iou_plus.build,
    "masktrack": masktrack.build,
    "deepsort": deepsort.build,
    "seqtracker": seqtracker.build,
    "feelvos": feelvos.build,
    "osmn": osmn.build,
    "ensemble": ensemble.build,
}
"""The methods that ``MODEL.MASKPROP.TRACKER`` can name."""

MASK_PROPAGATORS: dict[str, Callable[[int], MaskPropagator]] = {
    "feelvos": feelvos.FEELVOS,
    "osmn": osmn.OSMN,
}
"""The networks of those that have one of their own, by C, the channels of the pyramid level."""

OWN_WEIGHTS = {
    "masktrack": "embedding.",
    **{x: f"mask_propagators.{x}." for x in MASK_PROPAGATORS},
    "ensemble": "crop_classifier.",
}
"""What the names of a model's weights begin with that only this method needs, by method."""


def build_tracker(
    name: str,
    *,
    clip_radius: int,
    threshold: float,
    exclusive: bool,
    match: str = "near",
    categories: bool = True,
    options: Mapping[str, Any] | None = None,
) -> TrackerFactory:
    """What makes a tracker for each video, for ``MODEL.MASKPROP.TRACKER``.

    Args:
        name: one of ``TRACKERS``.
        clip_radius, threshold, exclusive, match, categories: see ``Linking``.
        options: those of the method alone, by default its own defaults.

    Raises:
        InputError: for an unknown name, or options that cannot be used.
    """
    if name not in TRACKERS:
        raise InputError(f"unknown tracking method '{name}': there are {', '.join(TRACKERS)}")
    linking = Linking(clip_radius, threshold, exclusive, match, categories)
    return TRACKERS[name](linking, **(options or {}))
