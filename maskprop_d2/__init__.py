"""MaskProp: video instance segmentation with mask propagation, for Detectron2."""

from typing import Any

__all__ = ["add_maskprop_config"]


def __getattr__(name: str) -> Any:
    # Resolved on first use, so that the rooms without Detectron2 can be imported where it is not
    # installed.
    if name == "add_maskprop_config":
        from . import modeling  # noqa: F401  registers the model with Detectron2
        from .config import add_maskprop_config
        from .data import register_builtin_datasets

        register_builtin_datasets()
        return add_maskprop_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
