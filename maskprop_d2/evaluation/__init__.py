"""Video AP and AR, in figures equal to those of the official YouTube-VIS code."""

from .table import format_table
from .video_ap import Metrics, evaluate
from .ytvis_json import AnnotationError, check_ground_truth, load_json

__all__ = [
    "AnnotationError",
    "Metrics",
    "check_ground_truth",
    "evaluate",
    "format_table",
    "load_json",
]
