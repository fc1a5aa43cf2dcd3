"""
The semantic branch of Hybrid Task Cascade (Chen et al., CVPR 2019). It segments all pixels, and its
embedding is added to the RoI features of the box and mask heads.

Shapes are named as in ``maskprop_d2.structures``. In addition, Q is the number of semantic classes.
Here h, w is the grid of the branch's pyramid level (stride 8 for P3).
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
"""Name of the embedding in the pyramid, where it is one more level."""


class SemanticBranch(nn.Module):
    """Fuses the pyramid on the grid of one level and predicts class logits and an embedding.

    Each level is resized to that grid, with aligned corners, and goes through its own 1x1
    convolution. Their sum goes through 3x3 convolutions, and a 1x1 convolution predicts each of the
    two outputs.
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
            in_features: names of the levels to fuse.
            feature: the level on whose grid they are fused.
            in_channels: channels of each level.
            stride: stride of that grid in pixels.
            num_convs: number of 3x3 convolutions.
            conv_dim: channels of all convolutions.
            norm: norm of all convolutions but the last two (``detectron2.layers.get_norm``).
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
        # It has as many channels as the levels, whose RoI features it is added to.
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
                    f"MODEL.MASKPROP.SEMANTIC names the level '{level}', but the backbone has "
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
                level_features = F.interpolate(
                    level_features, size, mode="bilinear", align_corners=True
                )
            x = x + lateral(level_features)
        x = self.convs(x)
        return self.predictor(x), F.relu(self.embedding(x))

    def loss(self, logits: Tensor, maps: list[Tensor]) -> Tensor:
        """Compute the weighted cross entropy, mean over the pixels that are not ignored.

        Args:
            logits: (B, Q, h, w).
            maps: B maps (H, W) uint8 of class indices, without padding.

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
    """An ``ROIPooler`` that adds the RoI features of the semantic embedding, the last level.

    They are averaged to the size of the levels' RoI features: HTC pools the embedding at 14 x 14
    for masks (14 x 14) and boxes (7 x 7).
    """

    def __init__(self, level_pooler: ROIPooler, embedding_pooler: ROIPooler):
        super().__init__()
        self.level_pooler = level_pooler
        self.embedding_pooler = embedding_pooler

    def forward(self, levels: list[Tensor], boxes: list[Boxes]) -> Tensor:
        pooled = self.level_pooler(levels[:-1], boxes)
        embedding = self.embedding_pooler(levels[-1:], boxes)
        return pooled + F.adaptive_avg_pool2d(embedding, pooled.shape[-2:])


class SemanticPooling:
    """Mixin for ROI heads that adds the semantic embedding to the RoI features, if the config has a
    semantic branch. It precedes ``StandardROIHeads`` or its subclass in the list of bases."""

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
    """Replace the pooler in the arguments of a head."""
    if not cfg.MODEL.MASKPROP.SEMANTIC.ENABLED:
        return head
    embedding_pooler = ROIPooler(
        output_size=cfg.MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION,
        scales=[1.0 / input_shape[cfg.MODEL.MASKPROP.SEMANTIC.FEATURE].stride],
        sampling_ratio=options.POOLER_SAMPLING_RATIO,
        pooler_type=options.POOLER_TYPE,
    )
    return {
        **head,
        f"{name}_in_features": [*head[f"{name}_in_features"], EMBEDDING],
        f"{name}_pooler": FusedPooler(head[f"{name}_pooler"], embedding_pooler),
    }
