"""Datasets, training clips and test videos for Detectron2."""

from .loaders import build_image_test_loader, build_test_loader, build_train_loader
from .registration import register_ytvis

__all__ = ["build_image_test_loader", "build_test_loader", "build_train_loader", "register_ytvis"]
