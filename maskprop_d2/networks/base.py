"""What all networks share: how frames become their input, and the shape of optional parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..structures import FrameOutput

PRECISIONS = ("float32", "bfloat16", "float16")
COLORS = "colors"
"""Name in a pyramid of the frames' mean colours on the propagation grid, (B, 3, h, w)."""


@dataclass(frozen=True)
class FrameSettings:
    """How frames are processed before and after the detector.

    Attributes:
        input_format: channel order of the detector's input, "RGB" or "BGR".
        short_side: short side of the resized frames in pixels; 0 keeps the size of the frames.
        max_long_side: limit of their long side in pixels.
        pixel_mean, pixel_std: one value for each channel.
        size_divisibility: the input is padded to a multiple of this.
        propagation_feature: name of the pyramid level that propagation works on.
        propagation_stride: stride of that level in pixels.
        duplicate_threshold: of two detections with a higher ``pairwise_containment``, the one with
            the lower score is dropped.
        precision: "float32", or "bfloat16" or "float16" for mixed precision.
    """

    input_format: str
    short_side: int
    max_long_side: int
    pixel_mean: list[float]
    pixel_std: list[float]
    size_divisibility: int
    propagation_feature: str
    propagation_stride: int
    duplicate_threshold: float
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"PRECISION must be one of {PRECISIONS}, got '{self.precision}'")

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Size of a resized frame, rounded as Detectron2's ``ResizeShortestEdge`` does."""
        if self.short_side == 0:
            return height, width
        scale = self.short_side / min(height, width)
        scale = min(scale, self.max_long_side / max(height, width))
        return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)

    def prepare(self, frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Convert video frames to the detector's input.

        Args:
            frames: (B, 3, H, W) uint8 RGB.

        Returns:
            (B, 3, H', W') float images, resized, normalized and padded; and their size without
            the padding.
        """
        images = self._reorder(frames)
        size = self.resized(*frames.shape[-2:])
        if size != frames.shape[-2:]:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        images = self.pad(self._normalize(images))
        # Convolutions are faster in this format, on GPUs and on CPUs.
        return images.contiguous(memory_format=torch.channels_last), size

    def pad(self, images: Tensor) -> Tensor:
        """Pad (B, 3, h, w) normalized images at the right and bottom to the size divisibility."""
        height, width = images.shape[-2:]
        multiple = max(self.size_divisibility, 1)
        return F.pad(images, (0, -width % multiple, 0, -height % multiple))

    def colors(self, images: Tensor) -> Tensor:
        """Mean colours of (B, 3, H', W') prepared images on the propagation grid: (B, 3, h, w)."""
        return F.avg_pool2d(images, self.propagation_stride)

    def normalize(self, frame: Tensor) -> Tensor:
        """Reorder and normalize the channels of a (3, H, W) uint8 RGB frame; keep its size."""
        return self._normalize(self._reorder(frame))

    def scale_to_video(self, frames: Tensor) -> Tensor:
        """(4,) factors that convert boxes from input pixels to pixels of (B, 3, H, W) frames."""
        height, width = frames.shape[-2:]
        input_height, input_width = self.resized(height, width)
        return torch.tensor([width / input_width, height / input_height] * 2, device=frames.device)

    def _reorder(self, images: Tensor) -> Tensor:
        return images.float().flip(-3) if self.input_format == "BGR" else images.float()

    def _normalize(self, images: Tensor) -> Tensor:
        mean, std = (images.new_tensor(x)[:, None, None] for x in (self.pixel_mean, self.pixel_std))
        return (images - mean) / std


class FrameBatch(NamedTuple):
    """Consecutive frames of one video.

    Attributes:
        frames: (B, 3, H, W) uint8 RGB.
        pyramid: the levels of their feature pyramid by name, (B, C, h, w) each.
        settings: settings of the model.
    """

    frames: Tensor
    pyramid: dict[str, Tensor]
    settings: FrameSettings


class Part(nn.Module):
    """An optional network beside the detector and the propagation branch.

    Subclasses override the steps that they take part in. They are trained by the detector's losses
    or by one of ``modeling/losses.py``.
    """

    def enhance_stream(self, batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        """Change the pyramids of a video's frames before detection (inference).

        Frames keep their order. They may be delayed and batched anew.
        """
        return batches

    def enhance_clips(self, pyramid: dict[str, Tensor], num_clips: int) -> dict[str, Tensor]:
        """Change the pyramid of training clips before detection.

        Args:
            pyramid: levels by name, of the first frames of all clips, then the second ones, ...
            num_clips: number of clips.
        """
        return pyramid

    def observe(self, batch: FrameBatch, outputs: list[FrameOutput]) -> None:
        """Add to the outputs of the B frames after detection (inference), in mixed precision if the
        model has it."""
