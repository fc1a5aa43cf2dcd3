"""Data sets, training clips and test videos."""

from typing import Any

__all__ = ["build_test_loader", "build_train_loader", "register_ytvis"]


def __getattr__(name: str) -> Any:
    # Resolved on first use, so that finding, checking and converting data sets needs no Detectron2.
    if name in __all__:
        from . import loaders, registration

        return getattr(registration if name == "register_ytvis" else loaders, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
