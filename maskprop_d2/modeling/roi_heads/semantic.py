"""
The semantic branch of Hybrid Task Cascade: it labels every pixel, and an embedding of them joins
the RoI features of boxes and masks.

Shape shorthand beyond that of ``structures``:

    Q       semantic classes
    h, w    here the grid of the branch's pyramid level (stride 8 for P3)
"""

from typing import Any

import torch
from detectron2.config import configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes
from fvcore.nn import weight_init
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError
from ...structures import IGNORED

EMBEDDING = "semantic"
"""Name under which the embedding stands in the pyramid, beside its levels."""


class SemanticBranch(nn.Module):
    """Fuses the pyramid at the grid of one of its levels; gives class logits and an embedding.

    Each level, resized to that grid, goes through a 1x1 convolution of its own; their sum goes
    through 3x3 convolutions, from which a 1x1 convolution each makes the two outputs.
    """

    @configurable
    def __init__(
        self,
        *,
        in_features: list[str],
        feature: str,
        in_channels: list[int],
        stride: int,
        num_convs: int,
        conv_dim: int,
        norm: str,
        num_classes: int,
        loss_weight: float,
    ):
        """
        Args:
            in_features: names of the levels that are fused.
            feature: the level whose grid they are fused on.
            in_channels: channels of each of the levels.
            stride: pixels per cell of that grid.
            num_convs: 3x3 convolutions after the sum.
            conv_dim: channels of all convolutions.
            norm: of all convolutions but the last two, as ``detectron2.layers.get_norm`` names it.
            num_classes: Q.
            loss_weight: multiplier of the loss.
        """
        super().__init__()
        self.in_features = in_features
        self.feature = feature
        self.stride = stride
        self.loss_weight = loss_weight

        def conv(channels: int, size: int) -> Conv2d:
            layer = Conv2d(
                channels,
                conv_dim,
                size,
                padding=size // 2,
                bias=not norm,
                norm=get_norm(norm, conv_dim),
                activation=F.relu,
            )
            weight_init.c2_msra_fill(layer)
            return layer

        self.laterals = nn.ModuleList(conv(channels, 1) for channels in in_channels)
        self.convs = nn.Sequential(*(conv(conv_dim, 3) for _ in range(num_convs)))
        self.predictor = nn.Conv2d(conv_dim, num_classes, 1)
        # Added to the RoI features of the levels, hence with as many channels.
        self.embedding = nn.Conv2d(conv_dim, in_channels[in_features.index(feature)], 1)
        nn.init.normal_(self.predictor.weight, std=0.01)
        weight_init.c2_msra_fill(self.embedding)

    @classmethod
    def from_config(cls, cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments from ``cfg.MODEL.MASKPROP.SEMANTIC`` and the shapes of the pyramid's levels."""
        options = cfg.MODEL.MASKPROP.SEMANTIC
        for level in (*options.IN_FEATURES, options.FEATURE):
            if level not in shapes:
                raise InputError(
                    f"MODEL.MASKPROP.SEMANTIC names the level '{level}', but the backbone gives "
                    f"only {', '.join(shapes)}"
                )
        if options.FEATURE not in options.IN_FEATURES:
            raise InputError(
                f"MODEL.MASKPROP.SEMANTIC.FEATURE '{options.FEATURE}' must be one of IN_FEATURES"
            )
        return {
            "in_features": list(options.IN_FEATURES),
            "feature": options.FEATURE,
            "in_channels": [shapes[level].channels for level in options.IN_FEATURES],
            "stride": shapes[options.FEATURE].stride,
            "num_convs": options.NUM_CONVS,
            "conv_dim": options.CONV_DIM,
            "norm": options.NORM,
            "num_classes": options.NUM_CLASSES or cfg.MODEL.ROI_HEADS.NUM_CLASSES + 1,
            "loss_weight": options.LOSS_WEIGHT,
        }

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """
        Args:
            features: the pyramid of B images.

        Returns:
            (B, Q, h, w) logits and (B, C, h, w) embedding.
        """
        size = features[self.feature].shape[-2:]
        x = 0
        for level, lateral in zip(self.in_features, self.laterals, strict=True):
            level_features = features[level]
            if level != self.feature:
                level_features = F.interpolate(level_features, size, mode="bilinear")
            x = x + lateral(level_features)
        x = self.convs(x)
        return self.predictor(x), F.relu(self.embedding(x))

    def loss(self, logits: Tensor, maps: list[Tensor]) -> Tensor:
        """Cross entropy over the pixels that are not ignored, mean over them.

        Args:
            logits: (B, Q, h, w).
            maps: (H, W) uint8 class index of each pixel of B unpadded images.

        Returns:
            scalar
        """
        targets = torch.full(
            (len(maps), *logits.shape[-2:]), IGNORED, dtype=torch.int64, device=logits.device
        )
        middle = self.stride // 2
        for target, pixels in zip(targets, maps, strict=True):
            cells = pixels[middle :: self.stride, middle :: self.stride]
            target[: cells.shape[0], : cells.shape[1]] = cells
        loss = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
        return loss / (targets != IGNORED).sum().clamp(min=1) * self.loss_weight


class FusedPooler(nn.Module):
    """RoI features of the levels plus those of the semantic embedding, which is the last level."""

    def __init__(self, of_levels: ROIPooler, of_embedding: ROIPooler):
        super().__init__()
        self.of_levels = of_levels
        self.of_embedding = of_embedding

    def forward(self, levels: list[Tensor], boxes: list[Boxes]) -> Tensor:
        """See ``ROIPooler.forward``."""
        return self.of_levels(levels[:-1], boxes) + self.of_embedding(levels[-1:], boxes)


class SemanticPooling:
    """ROI heads that, where the config has a semantic branch, add its embedding to the RoI
    features; to be inherited from before Detectron2's ``StandardROIHeads`` or a class of it."""

    @classmethod
    def _init_box_head(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        head = super()._init_box_head(cfg, input_shape)  # type: ignore[misc]
        return _fuse_embedding(head, "box", cfg.MODEL.ROI_BOX_HEAD, cfg, input_shape)

    @classmethod
    def _init_mask_head(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        head = super()._init_mask_head(cfg, input_shape)  # type: ignore[misc]
        return _fuse_embedding(head, "mask", cfg.MODEL.ROI_MASK_HEAD, cfg, input_shape)


def _fuse_embedding(
    head: dict[str, Any], name: str, options: Any, cfg: Any, input_shape: dict[str, ShapeSpec]
) -> dict[str, Any]:
    """The arguments of a head, with a pooler that takes the embedding too."""
    if not cfg.MODEL.MASKPROP.SEMANTIC.ENABLED:
        return head
    of_embedding = ROIPooler(
        output_size=options.POOLER_RESOLUTION,
        scales=[1.0 / input_shape[cfg.MODEL.MASKPROP.SEMANTIC.FEATURE].stride],
        sampling_ratio=options.POOLER_SAMPLING_RATIO,
        pooler_type=options.POOLER_TYPE,
    )
    return {
        **head,
        f"{name}_in_features": [*head[f"{name}_in_features"], EMBEDDING],
        f"{name}_pooler": FusedPooler(head[f"{name}_pooler"], of_embedding),
    }
