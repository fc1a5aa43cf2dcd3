"""Masks propagated by optical flow, linked as MaskProp does (the paper's FlowNet2 baseline)."""

from typing import Any

from torch import Tensor

from ..structures import Frame
from .base import FrameNetwork
from .clip_tracker import ClipTracker
from .optical_flow import FlowPropagator, build_flow


class FlowTracker(ClipTracker):
    """Links clips of masks that are warped by optical flow."""

    def __init__(
        self,
        network: FrameNetwork,
        *,
        flow_model: str = "dis",
        flow_weights: str = "",
        **clip_options: Any,
    ):
        """The options are those of ``build_flow`` and ``ClipTracker``."""
        super().__init__(network, **clip_options)
        self._propagator = FlowPropagator(build_flow(flow_model, flow_weights))

    def propagate(self, source: Frame, targets: list[Frame]) -> Tensor:
        return self._propagator(source, targets)
