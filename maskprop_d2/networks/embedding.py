"""
The embedding head of MaskTrack R-CNN (Yang et al., ICCV 2019).

Shapes are named as in ``maskprop_d2.structures``. In addition, E is the embedding dimension.
"""

from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

from ..structures import FrameOutput
from .base import FrameBatch, Part


class EmbeddingHead(Part):
    """Embeds regions so that the dot product of two embeddings is the logit that they show the same
    object. The logit of a new object is 0."""

    def __init__(
        self, *, levels: list[str], stride: int, in_channels: int, resolution: int, fc_dim: int
    ):
        """
        Args:
            levels: names of the pyramid levels to pool from, the finest first.
            stride: stride of the finest level in pixels.
            in_channels: C, channels of all levels.
            resolution: side of the grid that a region is resampled to.
            fc_dim: E, channels of both fully connected layers.
        """
        super().__init__()
        self.levels = levels
        self.stride = stride
        self.pooler = MultiScaleRoIAlign(levels, resolution, sampling_ratio=2)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * resolution**2, fc_dim),
            nn.ReLU(),
            nn.Linear(fc_dim, fc_dim),
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
