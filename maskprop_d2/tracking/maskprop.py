"""MaskProp: masks are propagated by the network's propagation branch (Sec. 4.2 of the paper)."""

from torch import Tensor

from ..networks.affinity import pooled_keys
from ..structures import Frame
from .clip_tracker import ClipTracker

POWER = 4
"""Of the mask's share of a cell in its weight for appearance. Keys are coarse: many objects have
more cells at their border than inside."""


class MaskPropTracker(ClipTracker):
    """Links clips of masks that the network propagates."""

    def propagate(self, source: Frame, targets: list[Frame]) -> Tensor:
        return self.network.propagate(source.output, [x.output for x in targets])

    def appearance(self, frame: Frame) -> Tensor | None:
        keys = frame.output.maps.get("keys")
        return None if keys is None else pooled_keys(keys, frame.output.grid_masks, POWER)
