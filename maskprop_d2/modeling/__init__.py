"""Detectron2 modules: meta-architecture, ROI heads, backbones and losses."""

# Importing these registers them with Detectron2.
from .backbone import build_small_resnet_fpn_backbone
from .image_model import HybridTaskCascade
from .meta_arch import MaskProp
from .roi_heads import HybridTaskCascadeHeads, MaskPropROIHeads

__all__ = [
    "HybridTaskCascade",
    "HybridTaskCascadeHeads",
    "MaskProp",
    "MaskPropROIHeads",
    "build_small_resnet_fpn_backbone",
]
