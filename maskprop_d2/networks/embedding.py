"""
The embedding head of MaskTrack R-CNN (Yang et al., ICCV 2019).

Shapes are named as in ``maskprop_d2.structures``. In addition, E is the embedding dimension.
"""

import torch
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, roi_align

from ..errors import InputError
from ..structures import FrameOutput
from .base import FrameBatch, Part

VARIANTS = "original", "mmtracking"


def check_variant(variant: str) -> None:
    """Raise an ``InputError`` for an unknown variant of MaskTrack R-CNN."""
    if variant not in VARIANTS:
        raise InputError(f"MASKTRACK.VARIANT must be one of {VARIANTS}, got '{variant}'")


class EmbeddingHead(Part):
    """Embeds regions so that the dot product of two embeddings is the logit that they show the same
    object. The logit of a new object is 0."""

    def __init__(
        self,
        *,
        levels: list[str],
        stride: int,
        in_channels: int,
        resolution: int,
        fc_dim: int,
        variant: str = "original",
    ):
        """
        Args:
            levels: names of the pyramid levels to pool from, the finest first.
            stride: stride of the finest level in pixels.
            in_channels: C, channels of all levels.
            resolution: side of the grid that a region is resampled to.
            fc_dim: E, channels of both fully connected layers.
            variant: "original", or "mmtracking", which aligns regions with the grid, samples them
                as densely as their size needs, and has a ReLU after the second layer too.

        Raises:
            InputError: for another variant.
        """
        super().__init__()
        check_variant(variant)
        self.levels = levels
        self.stride = stride
        is_original = variant == "original"
        self.pooler = (
            MultiScaleRoIAlign(levels, resolution, sampling_ratio=2)
            if is_original
            else AlignedPooler(levels, stride, resolution)
        )
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * resolution**2, fc_dim),
            nn.ReLU(),
            nn.Linear(fc_dim, fc_dim),
            nn.Identity() if is_original else nn.ReLU(),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, pyramid: dict[str, Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Embed regions of B images.

        Args:
            pyramid: levels by name, (B, C, h, w) each.
            boxes: (N, 4) regions of each of the B images.

        Returns:
            (N, E) float32 embeddings for each image.
        """
        # In mixed precision the pyramid may have 16 bits, which RoIAlign does not take.
        levels = {name: pyramid[name].float() for name in self.levels}
        height, width = (self.stride * x for x in levels[self.levels[0]].shape[-2:])
        regions = self.pooler(levels, boxes, [(height, width)] * len(boxes))
        return list(self.layers(regions).float().split([len(x) for x in boxes]))

    def observe(self, batch: FrameBatch, outputs: list[FrameOutput]) -> None:
        scale = batch.settings.scale_to_video(batch.frames)
        embeddings = self(batch.pyramid, [x.boxes_video / scale for x in outputs])
        for output, vectors in zip(outputs, embeddings, strict=True):
            output.embeddings = vectors


class AlignedPooler(nn.Module):
    """Detectron2's ``ROIPooler`` with "ROIAlignV2" and adaptive sampling, for levels by name."""

    def __init__(self, levels: list[str], stride: int, resolution: int):
        """
        Args:
            levels: names of the levels, the finest first, each at half the resolution of the last.
            stride: stride of the finest level in pixels, for regions of up to 112 pixels.
            resolution: side of the grid that a region is resampled to.
        """
        super().__init__()
        self.levels = levels
        self.stride = stride
        self.resolution = resolution

    def forward(
        self, pyramid: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]
    ) -> Tensor:
        """As ``MultiScaleRoIAlign``; ``sizes`` are not used."""
        images = torch.cat([x.new_full((len(x), 1), i) for i, x in enumerate(boxes)])
        regions = torch.cat([images, torch.cat(boxes)], 1)
        sides = ((regions[:, 3] - regions[:, 1]) * (regions[:, 4] - regions[:, 2])).sqrt()
        number = (sides / 56 + 1e-6).log2().floor().clamp(0, len(self.levels) - 1)
        pooled = regions.new_zeros(
            len(regions), pyramid[self.levels[0]].shape[1], self.resolution, self.resolution
        )
        for i, name in enumerate(self.levels):
            rows = (number == i).nonzero()[:, 0]
            scale = 1 / (self.stride * 2**i)
            pooled[rows] = roi_align(
                pyramid[name], regions[rows], self.resolution, scale, aligned=True
            )
        return pooled
