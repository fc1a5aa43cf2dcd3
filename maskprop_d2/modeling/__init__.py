"""Detectron2 modules: meta-architecture, ROI heads, backbones and losses."""

# Importing these registers them with Detectron2.
from .backbone import build_small_resnet_fpn_backbone
from .meta_arch import MaskProp
from .roi_heads import HybridTaskCascadeHeads, MaskPropROIHeads

__all__ = [
    "HybridTaskCascadeHeads",
    "MaskProp",
    "MaskPropROIHeads",
    "build_small_resnet_fpn_backbone",
]
