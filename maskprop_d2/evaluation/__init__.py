"""Video AP and AR, in figures equal to those of the official YouTube-VIS code, and HOTA, equal to
trackeval's."""

from .hota_figures import hota_measures
from .identity import identity_measures
from .per_video import ap_gains
from .reappearance import reappearance_measures
from .table import format_table
from .video_ap import Metrics, evaluate

__all__ = [
    "Metrics",
    "ap_gains",
    "evaluate",
    "format_table",
    "hota_measures",
    "identity_measures",
    "reappearance_measures",
]
