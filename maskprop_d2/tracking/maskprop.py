"""MaskProp: clips by the network's own propagation branch (Sec. 4.2 and 4.3 of the paper)."""

from functools import partial

from torch import Tensor

from ..structures import Frame
from .base import FrameNetwork, Linking, TrackerFactory
from .clips import ClipTracker


def build(linking: Linking) -> TrackerFactory:
    """See ``build_tracker``."""
    return lambda network: ClipTracker(partial(propagate, network), linking)


def propagate(network: FrameNetwork, source: Frame, targets: list[Frame]) -> Tensor:
    """See ``clips.Propagate``."""
    return network.propagate(source.output, [x.output for x in targets])
