"""Masks propagated by optical flow, linked as MaskProp does (the paper's FlowNet2 baseline)."""

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
        clip_radius: int = 6,
        threshold: float = 0.03,
        exclusive: bool = True,
        match: str = "near",
        categories: bool = True,
        flow_model: str = "dis",
        flow_weights: str = "",
    ):
        """The options are those of ``ClipTracker`` and ``build_flow``."""
        super().__init__(
            network,
            clip_radius=clip_radius,
            threshold=threshold,
            exclusive=exclusive,
            match=match,
            categories=categories,
        )
        self._propagator = FlowPropagator(build_flow(flow_model, flow_weights))

    def propagate(self, source: Frame, targets: list[Frame]) -> Tensor:
        return self._propagator(source, targets)
