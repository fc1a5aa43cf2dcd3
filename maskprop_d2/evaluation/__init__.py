"""Video AP and AR, in figures equal to those of the official YouTube-VIS code."""

from .identity import identity_measures
from .per_video import ap_gains
from .table import format_table
from .video_ap import Metrics, evaluate
from .ytvis_json import AnnotationError, check_ground_truth, iterate_json, load_json

__all__ = [
    "AnnotationError",
    "Metrics",
    "ap_gains",
    "check_ground_truth",
    "evaluate",
    "format_table",
    "identity_measures",
    "iterate_json",
    "load_json",
]
