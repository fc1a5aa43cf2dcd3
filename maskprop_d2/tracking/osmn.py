"""The idea of OSMN (Yang et al., CVPR 2018): a segmentation network that is told what to look for.

Kept from the paper: one network for all objects, whose layers are modulated for each object. A
visual modulator scales their channels by what the object looked like when it was first seen, a
spatial modulator adds to each place by where it was in the frame before, as a Gaussian of the
mask's mean and deviation.

What differs: the network is four layers on the detector's pyramid, on the propagation grid, not a
VGG on the image; the visual modulator is two linear layers on the features' mean under the mask,
not a second VGG on a crop; the spatial one sees the mask too, beside its Gaussian. Objects compete
in a softmax against a constant background. It is trained from a frame to others, where the first
appearance and the frame before are the same one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Linking, TrackerFactory
from .mask_propagator import MaskPropagator
from .propagated_tracks import track_by

CHANNELS = 32
DILATIONS = (1, 2, 4, 1)
"""Of the layers: together they see 8 cells each way."""


def build(linking: Linking) -> TrackerFactory:
    """See ``build_tracker``."""
    return track_by("osmn", linking)


class OSMN(MaskPropagator):
    """See the head of this file."""

    def __init__(self, in_channels: int):
        """``in_channels``: C of the pyramid level."""
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(in_channels, CHANNELS, 3, padding=1), nn.ReLU())
        self.layers = nn.ModuleList(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=x, dilation=x) for x in DILATIONS
        )
        self.visual = nn.Sequential(
            nn.Linear(CHANNELS, CHANNELS),
            nn.ReLU(),
            nn.Linear(CHANNELS, CHANNELS * len(DILATIONS)),
        )
        self.spatial = nn.Conv2d(2, CHANNELS * len(DILATIONS), 1)
        self.predictor = nn.Conv2d(CHANNELS, 1, 1)

    def encode(self, features: Tensor) -> dict[str, Tensor]:
        """See ``MaskPropagator.encode``."""
        return {"osmn": self.features(features)}

    def appearances(self, masks: Tensor, maps: dict[str, Tensor]) -> list[Tensor]:
        """The mean of the features under each mask, (channels,)."""
        sums = masks.flatten(1) @ maps["osmn"].flatten(1).to(masks).T
        return list(sums / masks.sum((1, 2)).clamp(min=1e-6)[:, None])

    def logits(
        self,
        masks: Tensor,
        source: dict[str, Tensor],
        target: dict[str, Tensor],
        appearances: list[Tensor],
    ) -> Tensor:
        """See ``MaskPropagator.logits``."""
        looks = torch.stack(appearances) if appearances else masks.new_zeros(0, CHANNELS)
        # At 0 the layers are those of an ordinary network.
        scales = 1 + self.visual(looks)[:, :, None, None]
        biases = self.spatial(torch.stack([masks, gaussians(masks)], dim=1))
        x = target["osmn"].expand(len(masks), -1, -1, -1)
        modulations = (x.chunk(len(DILATIONS), dim=1) for x in (scales, biases))
        for layer, scale, bias in zip(self.layers, *modulations, strict=True):
            x = F.relu(layer(x) * scale + bias)
        return self.predictor(x)[:, 0]


def gaussians(masks: Tensor) -> Tensor:
    """For each of (N, h, w) soft masks a blob with its mean and deviations, 1 in the middle; none
    for an empty mask."""
    total = masks.sum((1, 2))
    blobs = (total > 0).to(masks)[:, None, None]
    for dim in (1, 2):
        places = torch.arange(masks.shape[dim], device=masks.device, dtype=masks.dtype)
        shares = masks.sum(3 - dim) / total.clamp(min=1e-6)[:, None]
        mean = shares @ places
        # An object of one cell is about so wide.
        variance = shares @ places.square() - mean.square() + 0.25
        exponents = (places - mean[:, None]).square() / variance[:, None] / -2
        blobs = blobs * exponents.exp().unsqueeze(3 - dim)
    return blobs
