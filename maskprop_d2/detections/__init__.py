"""Detections of other models: from Python objects, COCO files and folders of id masks."""

from .coco_file import CocoDetections
from .conversion import as_detections
from .id_mask_folder import IdMaskFolder

__all__ = ["CocoDetections", "IdMaskFolder", "as_detections"]
