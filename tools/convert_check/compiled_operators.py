"""
mmcv's compiled operators, replaced by torchvision's: mmdetection 2.x runs without compiling.

Everything around them (which samples RoIAlign takes, how classes are kept apart in NMS, how offsets
are predicted) stays mmcv's own code. Inference only.
"""

import sys
from types import ModuleType
from typing import Any

from torch import Tensor
from torchvision.ops import deform_conv2d, nms, roi_align


def install() -> None:
    """Make ``mmcv.ops`` importable; to be called before mmdet is imported."""
    sys.modules["mmcv._ext"] = _Operators("mmcv._ext")


class _Operators(ModuleType):
    """Stands for the module of compiled operators; those that are not used exist, but fail."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(f"mmcv's operator {name} has no replacement")

        return missing

    @staticmethod
    def roi_align_forward(
        features: Tensor,
        rois: Tensor,
        output: Tensor,
        argmax_y: Tensor,
        argmax_x: Tensor,
        *,
        aligned_height: int,
        aligned_width: int,
        spatial_scale: float,
        sampling_ratio: int,
        pool_mode: int,
        aligned: bool,
    ) -> None:
        assert pool_mode == 1, "only average pooling"
        size = (aligned_height, aligned_width)
        output.copy_(
            roi_align(features, rois, size, spatial_scale, sampling_ratio or -1, bool(aligned))
        )

    @staticmethod
    def nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, offset: int) -> Tensor:
        assert offset == 0, "only boxes without +1"
        return nms(boxes, scores, iou_threshold)

    @staticmethod
    def deform_conv_forward(
        x: Tensor, weight: Tensor, offset: Tensor, output: Tensor, *buffers: Tensor, **options: Any
    ) -> None:
        output.copy_(
            deform_conv2d(
                x,
                offset,
                weight,
                stride=(options["dH"], options["dW"]),
                padding=(options["padH"], options["padW"]),
                dilation=(options["dilationH"], options["dilationW"]),
            )
        )
