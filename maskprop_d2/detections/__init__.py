"""Detections of other models: from Python objects, COCO result files and folders of id masks."""

from .conversion import as_detections

__all__ = ["as_detections"]
