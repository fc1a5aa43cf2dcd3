"""MaskProp: video instance segmentation with mask propagation, for Detectron2."""

from importlib import import_module
from typing import Any

__all__ = ["add_maskprop_config", "link", "model_zoo", "propagate", "track_streams"]

FUNCTIONS = {
    "link": ".inference.linking",
    "propagate": ".inference.propagation",
    "track_streams": ".inference.streams",
}
"""Functions by the modules that define them."""


def __getattr__(name: str) -> Any:
    # On first use, so that the package can be imported without Detectron2.
    if name == "add_maskprop_config":
        # These register models and datasets with Detectron2.
        from . import modeling  # noqa: F401
        from .config import add_maskprop_config
        from .data import registration  # noqa: F401

        return add_maskprop_config
    if name in FUNCTIONS:
        return getattr(import_module(FUNCTIONS[name], __name__), name)
    if name == "model_zoo":
        return import_module(".model_zoo", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
