"""Datasets, training clips and test videos for Detectron2."""

from typing import Any

__all__ = ["build_image_test_loader", "build_test_loader", "build_train_loader", "register_ytvis"]


def __getattr__(name: str) -> Any:
    # On first use, so that importing the package does not import Detectron2.
    if name in __all__:
        from . import loaders, registration

        return getattr(registration if name == "register_ytvis" else loaders, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
