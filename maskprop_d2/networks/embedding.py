"""
The embedding head of MaskTrack R-CNN. Nothing here needs Detectron2.

Shape shorthand of ``maskprop_d2.structures``; further E channels of an embedding.
"""

from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign


class EmbeddingHead(nn.Module):
    """A vector for each region, such that the dot product of two is the logit of their showing one
    object. The logit of a region's being new is 0."""

    def __init__(
        self, *, levels: list[str], stride: int, in_channels: int, resolution: int, fc_dim: int
    ):
        """
        Args:
            levels: names of the pyramid levels that regions are taken from, the finest first.
            stride: of the finest level in pixels.
            in_channels: C, channels of all of them.
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
        """
        Args:
            pyramid: levels by name, (B, C, h, w) each.
            boxes: for each of the B images (N, 4) regions.

        Returns:
            for each image (N, E) embeddings, float32.
        """
        # Detectron2's pyramids may be of 16 bits here, torchvision's sampling may not.
        levels = {name: pyramid[name].float() for name in self.levels}
        height, width = (self.stride * x for x in levels[self.levels[0]].shape[-2:])
        regions = self.pooler(levels, boxes, [(height, width)] * len(boxes))
        return list(self.layers(regions).float().split([len(x) for x in boxes]))
