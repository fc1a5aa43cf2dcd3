"""
The sampling block of STSN (Bertasius, Torresani, Shi: Object Detection in Video with Spatiotemporal
Sampling Networks, ECCV 2018), on a feature pyramid. Nothing here needs Detectron2.

Shape shorthand of ``structures``; further:

    C       channels of the pyramid
    D       channels inside of the block
    K       supporting frames on each side, in inference
    h, w    here the grid of any level

A pyramid is a dict of levels by name, (B, C, h, w) each.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from ..errors import InputError
from ..ops.deform import match_dtypes

MAX_RADIUS = 1000
"""Far more than any model has: so many frames on each side stay in memory."""


class DeformableLayer(nn.Module):
    """A 3x3 deformable convolution whose offsets, zero at first, are convolved from a guide."""

    def __init__(self, guide_channels: int, in_channels: int, out_channels: int):
        super().__init__()
        self.offsets = nn.Conv2d(guide_channels, 2 * 9, 3, padding=1)
        self.conv = DeformConv2d(in_channels, out_channels, 3, padding=1, bias=False)
        for parameter in self.offsets.parameters():
            nn.init.zeros_(parameter)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(B, in_channels, h, w) and (B, guide_channels, h, w) -> (B, out_channels, h, w)"""
        return self.conv(*match_dtypes(x, self.offsets(guide)))


class SpatiotemporalSampling(nn.Module):
    """Samples supporting frames into a frame's features, level by level, with the same weights for
    all levels.

    Three deformable layers over the features of both frames tell where to look, a fourth one looks
    there, in the supporting frame. A frame's result is the mean of its own features and of what is
    sampled from each supporting frame, weighted in each cell by the exponential of the cosine
    similarity to its own, in an embedding.

    The fourth layer starts as a copy of the supporting frame in its place, and similarity counts
    sharply, so that a supporting frame has a say only where it shows the same: a detector goes on
    from its weights almost as if it were alone, and with equal frames exactly so.
    """

    def __init__(self, *, levels: list[str], in_channels: int, channels: int, radius: int):
        """
        Args:
            levels: names of the pyramid's levels that are supported.
            in_channels: C.
            channels: D; the embedding has four times as many.
            radius: K. Nothing here depends on it: inference reads it.

        Raises:
            InputError: if there can be no such radius.
        """
        super().__init__()
        if not isinstance(radius, int) or not 0 <= radius <= MAX_RADIUS:
            raise InputError(f"STSN.RADIUS must be from 0 to {MAX_RADIUS} frames, not {radius}")
        self.levels = levels
        self.radius = radius
        self.motion = nn.ModuleList(
            DeformableLayer(x, x, channels) for x in (2 * in_channels, channels, channels)
        )
        self.sampling = DeformableLayer(channels, in_channels, in_channels)
        nn.init.zeros_(self.sampling.conv.weight)
        with torch.no_grad():
            self.sampling.conv.weight[:, :, 1, 1].fill_diagonal_(1.0)
        self.embedding = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 4 * channels, 1),
        )
        for layer in self.embedding:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        # The factor of the similarity, as its logarithm: it stays positive.
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(
        self, pyramid: dict[str, Tensor], supports: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """
        Args:
            pyramid: that of B frames.
            supports: those of supporting frames, any number of them: each has one for each of the
                B frames. The levels of the block suffice.

        Returns:
            the first one with supported levels.
        """
        supported = {
            name: self._support(pyramid[name], [x[name] for x in supports]) for name in self.levels
        }
        return {**pyramid, **supported}

    def _support(self, features: Tensor, supports: list[Tensor]) -> Tensor:
        """The same for one level. One supporting frame after the other, so that memory does not
        grow with their number."""
        embedded = self.embedding(features).to(torch.promote_types(features.dtype, torch.float32))
        # A frame is like itself: its own weight is 1, and no other is larger.
        total, weights = features.to(embedded.dtype), embedded.new_ones(())
        for support in supports:
            sampled = self.sample(features, support)
            similarity = F.cosine_similarity(embedded, self.embedding(sampled).to(embedded.dtype))
            weight = (self.log_sharpness.exp() * (similarity - 1)).exp()[:, None]
            total, weights = total + weight * sampled, weights + weight
        return (total / weights).to(features.dtype)

    def sample(self, features: Tensor, support: Tensor) -> Tensor:
        """What is where ``features`` are, in a supporting frame: (B, C, h, w), twice, -> the same,
        in float32 at least."""
        guide = torch.cat([features, support], dim=1)
        for layer in self.motion:
            guide = F.relu(layer(guide, guide))
        return self.sampling(support, guide)


def split_frames(pyramid: dict[str, Tensor], size: int = 1) -> list[dict[str, Tensor]]:
    """The pyramid of B frames as pyramids of ``size`` frames, the last one of fewer."""
    parts = zip(*(level.split(size) for level in pyramid.values()), strict=True)
    return [dict(zip(pyramid, levels, strict=True)) for levels in parts]


def join_frames(pyramids: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The reverse of :func:`split_frames`."""
    return {name: torch.cat([x[name] for x in pyramids]) for name in pyramids[0]}


def support_each_other(
    block: SpatiotemporalSampling, pyramid: dict[str, Tensor], clips: int
) -> dict[str, Tensor]:
    """Each frame supported by all others of its clip.

    Args:
        block: what supports.
        pyramid: the first frames of all clips, then the second ones, and so on.
        clips: their number.
    """
    frames = split_frames(pyramid, clips)
    return join_frames([block(x, [y for y in frames if y is not x]) for x in frames])
