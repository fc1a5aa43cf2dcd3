"""Reading checkpoints of mmdetection and mmtracking, without their code."""

from .conversion import Conversion, convert, is_foreign

__all__ = ["Conversion", "convert", "is_foreign"]
