"""The networks besides the detector, which the meta-architecture and exported models share."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..networks.base import COLORS, FrameBatch, Part
from ..networks.crop_classifier import CropClassifier
from ..networks.embedding import EmbeddingHead
from ..networks.propagation import PropagationBranch, per_frame
from ..networks.refinement import MaskRefinement
from ..networks.stsn import SpatiotemporalSampling
from ..structures import FrameOutput
from ..tracking import MASK_PROPAGATORS, MaskPropagator


class MaskPropagators(Part, nn.ModuleDict):
    """The mask propagators of tracking methods, by method; they add their maps to each frame."""

    def __init__(self, **in_channels: int):
        """``in_channels``: for each method, the channels of the propagation level."""
        super().__init__({name: MASK_PROPAGATORS[name](c) for name, c in in_channels.items()})

    def observe(self, batch: FrameBatch, outputs: list[FrameOutput]) -> None:
        level = batch.pyramid[batch.settings.propagation_feature]
        for propagator in self.values():
            assert isinstance(propagator, MaskPropagator)
            # They are small and compare embeddings, which needs full precision.
            with torch.autocast(level.device.type, enabled=False):
                maps = propagator.encode(level, batch.pyramid[COLORS])
            for output, frame_maps in zip(outputs, per_frame(maps), strict=True):
                output.maps |= frame_maps


NETWORKS: dict[str, type[nn.Module]] = {
    "stsn": SpatiotemporalSampling,
    "propagation": PropagationBranch,
    "mask_propagators": MaskPropagators,
    # The crop classifier looks at the masks as they were before refinement.
    "crop_classifier": CropClassifier,
    "refinement": MaskRefinement,
    "embedding": EmbeddingHead,
}
"""Classes by name: the attribute of the model, the prefix of the weights and the entry in exported
files. Parts run in this order. To add one, write a ``Part``, name it here, give its options in
``modeling/options.py`` and its loss in ``modeling/losses.py``."""


def build_networks(options: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Build the networks that have options.

    Args:
        options: constructor arguments by name in ``NETWORKS``; other entries are ignored.
    """
    return {name: kind(**options[name]) for name, kind in NETWORKS.items() if name in options}
