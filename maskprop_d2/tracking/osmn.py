"""
The idea of OSMN (Yang et al., CVPR 2018): a segmentation network modulated for each object.

Kept from the paper: a visual modulator scales the channels of the network's layers by what the
object looked like in its first frame; a spatial modulator adds a bias to each cell by where the
object was in the previous frame, as a Gaussian of the mask's mean and deviation.

Differences: the network is four layers on the detector's pyramid, not a VGG on the image; the
visual modulator is two linear layers on the mean feature under the mask, not a second VGG on a
crop; the spatial modulator also sees the mask. Objects compete in a softmax with a constant
background. Training is on pairs of frames, where the first frame is also the previous one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Maps, MaskPropagator
from .propagation_tracker import PropagationTracker

CHANNELS = 32
DILATIONS = (1, 2, 4, 1)  # Together the layers' receptive field is 8 cells to each side.


class OSMNTracker(PropagationTracker):
    """Tracks by detection over masks that ``OSMN`` propagates."""

    method = "osmn"


class OSMN(MaskPropagator):
    """The network: modulated layers and their modulators. Templates are mean features."""

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

    def encode(self, features: Tensor, colors: Tensor) -> dict[str, Tensor]:
        return {"osmn": self.features(features)}

    def templates(self, masks: Tensor, maps: Maps) -> list[Tensor]:
        """For each object the (channels,) mean feature under its mask."""
        sums = masks.flatten(1) @ maps["osmn"].flatten(1).to(masks).T
        return list(sums / masks.sum((1, 2)).clamp(min=1e-6)[:, None])

    def logits(self, masks: Tensor, source: Maps, target: Maps, templates: list[Tensor]) -> Tensor:
        means = torch.stack(templates) if templates else masks.new_zeros(0, CHANNELS)
        # Modulators that give 0 leave the layers as they are.
        scales = 1 + self.visual(means)[:, :, None, None]
        biases = self.spatial(torch.stack([masks, gaussians(masks)], dim=1))
        x = target["osmn"].expand(len(masks), -1, -1, -1)
        modulations = (x.chunk(len(DILATIONS), dim=1) for x in (scales, biases))
        for layer, scale, bias in zip(self.layers, *modulations, strict=True):
            x = F.relu(layer(x) * scale + bias)
        return self.predictor(x)[:, 0]


def gaussians(masks: Tensor) -> Tensor:
    """Gaussians with the mean and the deviations of (N, h, w) soft masks.

    Returns:
        (N, h, w) values in [0, 1], 1 in the mean; all 0 for an empty mask.
    """
    total = masks.sum((1, 2))
    values = (total > 0).to(masks)[:, None, None]
    for dim in (1, 2):
        positions = torch.arange(masks.shape[dim], device=masks.device, dtype=masks.dtype)
        shares = masks.sum(3 - dim) / total.clamp(min=1e-6)[:, None]
        mean = shares @ positions
        # About the variance of one cell, so that it is never 0.
        variance = shares @ positions.square() - mean.square() + 0.25
        exponents = (positions - mean[:, None]).square() / variance[:, None] / -2
        values = values * exponents.exp().unsqueeze(3 - dim)
    return values
