"""Data sets, training pairs and test videos; importing it registers the built-in data sets."""

from .loaders import build_test_loader, build_train_loader
from .registration import register_builtin_datasets, register_ytvis

__all__ = ["build_test_loader", "build_train_loader", "register_ytvis"]

# As Detectron2 does for its own.
register_builtin_datasets()
