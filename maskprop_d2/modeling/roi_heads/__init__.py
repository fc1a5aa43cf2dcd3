from .maskprop_heads import MaskPropROIHeads

__all__ = ["MaskPropROIHeads"]
