"""
Tracking methods: they link the detections of a video's frames into tracks.

Each method is one file with one ``Tracker`` class, listed in ``TRACKERS``. Methods share code
through the other files and never import each other. To add a method, write its class in a new
file and add a line to ``TRACKERS``.
"""

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import InputError
from .base import FrameNetwork, MaskPropagator, OnlineTracker, Tracker
from .deepsort import DeepSORTTracker
from .ensemble import EnsembleTracker
from .feelvos import FEELVOS, FEELVOSTracker
from .flow import FlowTracker
from .generic import GenericTracker
from .iou import IoUTracker
from .iou_plus import IoUPlusTracker
from .maskprop import MaskPropTracker
from .masktrack import MaskTrackTracker
from .osmn import OSMN, OSMNTracker
from .seqtracker import SeqTracker

__all__ = [
    "LINKING_TRACKERS",
    "MASK_PROPAGATORS",
    "OWN_WEIGHTS",
    "TRACKERS",
    "FrameNetwork",
    "MaskPropagator",
    "OnlineTracker",
    "Tracker",
    "build_tracker",
    "option_names",
]

TRACKERS: dict[str, type[Tracker]] = {
    "maskprop": MaskPropTracker,
    "flow": FlowTracker,
    "iou": IoUTracker,
    "iou_plus": IoUPlusTracker,
    "masktrack": MaskTrackTracker,
    "deepsort": DeepSORTTracker,
    "seqtracker": SeqTracker,
    "feelvos": FEELVOSTracker,
    "osmn": OSMNTracker,
    "ensemble": EnsembleTracker,
}
"""Tracking methods by their names in ``MODEL.MASKPROP.TRACKER``."""

LINKING_TRACKERS: dict[str, type[Tracker]] = {**TRACKERS, "maskprop": GenericTracker}
"""Tracking methods for the masks of any detector, which comes without a propagation branch."""

MASK_PROPAGATORS: dict[str, Callable[[int], MaskPropagator]] = {"feelvos": FEELVOS, "osmn": OSMN}
"""The networks of methods that have one of their own; the argument is C of the pyramid level."""

OWN_WEIGHTS = {
    "masktrack": "embedding.",
    **{x: f"mask_propagators.{x}." for x in MASK_PROPAGATORS},
    "ensemble": "crop_classifier.",
}
"""By method, the prefix of those weights in a checkpoint that only this method needs."""


def option_names(name: str, trackers: dict[str, type[Tracker]] = TRACKERS) -> list[str]:
    """The names of the options of a tracking method in ``trackers``.

    Raises:
        InputError: for an unknown method.
    """
    if name not in trackers:
        raise InputError(f"unknown tracking method '{name}': choose one of {', '.join(trackers)}")
    # Classes that take ``**options`` pass them to their base class.
    signatures = map(inspect.signature, reversed(trackers[name].__mro__))
    parameters = [x for signature in signatures for x in signature.parameters.values()]
    return list(dict.fromkeys(x.name for x in parameters if x.kind is x.KEYWORD_ONLY))


def build_tracker(
    name: str,
    network: FrameNetwork,
    trackers: dict[str, type[Tracker]] = TRACKERS,
    **options: Any,
) -> Tracker:
    """A new tracker for one video.

    Args:
        name: a method in ``trackers``.
        network: detects in the video's frames.
        trackers: ``TRACKERS``, or ``LINKING_TRACKERS`` for given detections.
        **options: the keyword-only arguments of the method's class.

    Raises:
        InputError: for an unknown method or option, or a wrong value.
    """
    known = option_names(name, trackers)
    for option in options:
        if option not in known:
            raise InputError(
                f"tracking method '{name}' has no option '{option}': "
                f"it has {', '.join(known) or 'none'}"
            )
    try:
        return trackers[name](network, **options)
    except InputError as error:
        raise InputError(f"tracking method '{name}': {error}") from error
