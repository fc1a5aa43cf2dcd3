"""
The sampling block of STSN (Bertasius, Torresani, Shi: Object Detection in Video with Spatiotemporal
Sampling Networks, ECCV 2018), on a feature pyramid.

Shapes:

    B       frames
    C, D    channels of the pyramid; channels inside the block
    K       supporting frames on each side, in inference
    h, w    grid of a level

A pyramid is a dict of levels by name, (B, C, h, w) each.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from ..errors import InputError
from ..ops.deform import match_dtypes
from .base import FrameBatch, Part

MAX_RADIUS = 1000
"""Limit of K far above any real model: 2K frames are kept in memory."""


class DeformableLayer(nn.Module):
    """A 3x3 deformable convolution whose offsets, initially zero, are predicted from a guide."""

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


class SpatiotemporalSampling(Part):
    """Samples supporting frames into a frame's features, with the same weights for all levels.

    Three deformable layers over the features of both frames predict where to look; a fourth one
    samples the supporting frame there. The result is a weighted mean of the frame's own features
    and those sampled from each supporting frame. The weight of a cell is the exponential of the
    cosine similarity to the frame's own embedding.

    The fourth layer is initialized as a copy and the similarity is sharp, so that at first
    supporting frames matter only where they look the same. A trained detector is hardly disturbed,
    and not at all if the frames are equal.
    """

    def __init__(self, *, levels: list[str], in_channels: int, channels: int, radius: int):
        """
        Args:
            levels: names of the pyramid levels to support.
            in_channels: C.
            channels: D; the embedding has 4 * D channels.
            radius: K.

        Raises:
            InputError: if the radius is out of range.
        """
        super().__init__()
        if not isinstance(radius, int) or not 0 <= radius <= MAX_RADIUS:
            raise InputError(f"STSN.RADIUS must be an integer from 0 to {MAX_RADIUS}, got {radius}")
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
        # A logarithm, so that the factor of the similarity stays positive.
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(
        self, pyramid: dict[str, Tensor], supports: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """
        Args:
            pyramid: the pyramid of B frames.
            supports: any number of pyramids, each with one supporting frame for each of the B
                frames. Only the levels of the block are needed.

        Returns:
            the pyramid with the levels of the block replaced.
        """
        supported = {
            name: self._support(pyramid[name], [x[name] for x in supports]) for name in self.levels
        }
        return {**pyramid, **supported}

    def _support(self, features: Tensor, supports: list[Tensor]) -> Tensor:
        """Support one level, one supporting frame at a time: memory does not grow with them."""
        embedded = self.embedding(features).to(torch.promote_types(features.dtype, torch.float32))
        # The frame itself has the weight 1, which no other exceeds.
        total, weights = features.to(embedded.dtype), embedded.new_ones(())
        for support in supports:
            sampled = self.sample(features, support)
            similarity = F.cosine_similarity(embedded, self.embedding(sampled).to(embedded.dtype))
            weight = (self.log_sharpness.exp() * (similarity - 1)).exp()[:, None]
            total, weights = total + weight * sampled, weights + weight
        return (total / weights).to(features.dtype)

    def sample(self, features: Tensor, support: Tensor) -> Tensor:
        """Sample a supporting frame where it shows what ``features`` show.

        Args:
            features, support: (B, C, h, w) each.

        Returns:
            (B, C, h, w), at least float32.
        """
        guide = torch.cat([features, support], dim=1)
        for layer in self.motion:
            guide = F.relu(layer(guide, guide))
        return self.sampling(support, guide)

    def enhance_clips(self, pyramid: dict[str, Tensor], num_clips: int) -> dict[str, Tensor]:
        frames = split_frames(pyramid, num_clips)
        return join_frames([self(x, [y for y in frames if y is not x]) for x in frames])

    def enhance_stream(self, batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        return SupportWindow(self).stream(batches)


class SupportWindow:
    """Supports each frame of one video by K frames on each side, fewer at the ends.

    A frame is returned once the K frames after it have arrived. The levels of at most 2K frames and
    a few batches are kept.
    """

    def __init__(self, block: SpatiotemporalSampling):
        """``block``: the sampling block, which also defines K."""
        self._block = block
        self._waiting: deque[FrameBatch] = deque()
        # Levels before support by frame index.
        self._plain: dict[int, dict[str, Tensor]] = {}
        self._arrived = 0

    def stream(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """Support all frames of a video.

        Args:
            batches: all frames of the video, in order.

        Yields:
            the same frames with supported pyramids, in batches that are no larger.
        """
        size = 1
        for batch in batches:
            size = max(size, len(batch.frames))
            singles = zip(batch.frames.split(1), split_frames(batch.pyramid), strict=True)
            for frame, pyramid in singles:
                self._waiting.append(batch._replace(frames=frame, pyramid=pyramid))
                self._plain[self._arrived] = {x: pyramid[x] for x in self._block.levels}
                self._arrived += 1
            if (ready := len(self._waiting) - self._block.radius) > 0:
                yield self._support(ready)
        while self._waiting:
            yield self._support(min(size, len(self._waiting)))

    def _support(self, count: int) -> FrameBatch:
        """Support the first ``count`` waiting frames."""
        done = [self._support_next() for _ in range(count)]
        frames = torch.cat([x.frames for x in done])
        return done[0]._replace(frames=frames, pyramid=join_frames([x.pyramid for x in done]))

    def _support_next(self) -> FrameBatch:
        t, radius = self._arrived - len(self._waiting), self._block.radius
        around = [s for s in range(t - radius, t + radius + 1) if s != t and s in self._plain]
        frame = self._waiting.popleft()
        pyramid = self._block(frame.pyramid, [self._plain[s] for s in around])
        self._plain.pop(t - radius, None)
        return frame._replace(pyramid=pyramid)


def split_frames(pyramid: dict[str, Tensor], size: int = 1) -> list[dict[str, Tensor]]:
    """Split the pyramid of B frames into pyramids of ``size`` frames; the last may have fewer."""
    parts = zip(*(level.split(size) for level in pyramid.values()), strict=True)
    return [dict(zip(pyramid, levels, strict=True)) for levels in parts]


def join_frames(pyramids: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate pyramids along the frames."""
    return {name: torch.cat([x[name] for x in pyramids]) for name in pyramids[0]}
