from .loaders import build_test_loader, build_train_loader
from .registration import register_builtin_datasets, register_ytvis

__all__ = [
    "build_test_loader",
    "build_train_loader",
    "register_builtin_datasets",
    "register_ytvis",
]
