"""A narrow ResNet-18 with FPN: the backbone of the MovingShapes models."""

from typing import Any

from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BACKBONE_REGISTRY, FPN
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet


@BACKBONE_REGISTRY.register()
def build_small_resnet_fpn_backbone(cfg: Any, input_shape: ShapeSpec) -> FPN:
    """Build a ResNet-18 with ``MODEL.SMALL_RESNET.STAGE_CHANNELS`` instead of 64, 128, 256, 512.

    Detectron2's builder does not allow other channels for ResNet-18, whose weights take 45 MB.
    """
    channels = cfg.MODEL.SMALL_RESNET.STAGE_CHANNELS
    norm = cfg.MODEL.RESNETS.NORM
    stem = BasicStem(in_channels=input_shape.channels, out_channels=channels[0], norm=norm)
    stages = []
    for i, out_channels in enumerate(channels):
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                2,
                stride_per_block=[1 if i == 0 else 2, 1],
                in_channels=channels[max(i - 1, 0)],
                out_channels=out_channels,
                norm=norm,
            )
        )
    return FPN(
        bottom_up=ResNet(stem, stages, out_features=cfg.MODEL.RESNETS.OUT_FEATURES),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
