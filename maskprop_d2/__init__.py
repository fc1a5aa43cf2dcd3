"""MaskProp for Detectron2."""
