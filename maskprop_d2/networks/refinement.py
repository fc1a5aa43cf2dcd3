"""
High-resolution mask refinement (Sec. 4.4 of the paper).

Shapes are named as in ``maskprop_d2.structures``. In addition, P is the side of a crop in cells
(384 by default).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import InputError
from ..ops.crops import crop_with_masks, square_boxes
from ..structures import FrameOutput
from .base import FrameBatch, Part

MAX_CROP_SIZE, MAX_CONTEXT, MAX_CHUNK_SIZE = 4096, 16, 4096
"""Limits far above any real model, since an exported file could ask for any amount of memory."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with GroupNorm, and a shortcut."""

    def __init__(self, in_channels: int, channels: int, num_groups: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(num_groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(num_groups, channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else None
        for conv in (self.conv1, self.conv2, self.shortcut):
            if conv is not None:
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, channels, h, w)"""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)) + shortcut)


class MaskRefinement(Part):
    """Predicts high-resolution masks of detected objects on square crops of the frame.

    The network sees the crop and the low-resolution mask and predicts a correction of the mask's
    logits. Its last layer is initialized to zero, so that at first it only resizes the mask.

    Crops are processed ``chunk_size`` at a time, and training recomputes activations in the
    backward pass, so that memory does not grow with the number of instances.
    """

    def __init__(
        self,
        *,
        crop_size: int,
        context: float,
        channels: int,
        num_groups: int,
        chunk_size: int,
    ):
        """
        Args:
            crop_size: P.
            context: side of a crop relative to the longer side of its box.
            channels: channels of the three residual blocks.
            num_groups: groups of their GroupNorm.
            chunk_size: number of crops to process at once.

        Raises:
            InputError: if an argument is out of range.
        """
        super().__init__()
        whole = isinstance(crop_size, int) and isinstance(chunk_size, int)
        if not (
            whole
            and 0 < crop_size <= MAX_CROP_SIZE
            and 0 < context <= MAX_CONTEXT
            and 0 < chunk_size <= MAX_CHUNK_SIZE
        ):
            raise InputError(
                f"REFINEMENT.CROP_SIZE must be an integer from 1 to {MAX_CROP_SIZE} (got "
                f"{crop_size}), CONTEXT above 0 and at most {MAX_CONTEXT} (got {context}), "
                f"CHUNK_SIZE an integer from 1 to {MAX_CHUNK_SIZE} (got {chunk_size})"
            )
        self.crop_size = crop_size
        self.context = context
        self.chunk_size = chunk_size
        self.blocks = nn.Sequential(
            ResidualBlock(4, channels, num_groups),
            ResidualBlock(channels, channels, num_groups),
            ResidualBlock(channels, channels, num_groups),
        )
        self.predictor = nn.Conv2d(channels, 1, 1)
        for parameter in self.predictor.parameters():
            nn.init.zeros_(parameter)

    def crop_boxes(self, boxes: Tensor) -> Tensor:
        """Crops around boxes, (N, 4) -> (N, 4)."""
        return square_boxes(boxes, self.context)

    def forward(self, image: Tensor, masks: Tensor, boxes: Tensor, crops: Tensor) -> Tensor:
        """Refine the masks of objects in one frame.

        Args:
            image: (3, H, W) normalized frame.
            masks: (N, m, m) soft masks inside the boxes.
            boxes: (N, 4) in pixels of the image.
            crops: (N, 4) the result of ``crop_boxes``.

        Returns:
            (N, P, P) logits of the refined masks inside the crops.
        """
        if len(masks) == 0:
            return masks.new_zeros(0, self.crop_size, self.crop_size)
        logits = []
        for chunk in zip(*(x.split(self.chunk_size) for x in (masks, boxes, crops)), strict=True):
            if torch.is_grad_enabled():
                logits.append(checkpoint(self._refine, image, *chunk, use_reentrant=False))
            else:
                logits.append(self._refine(image, *chunk))
        return torch.cat(logits)

    def _refine(self, image: Tensor, masks: Tensor, boxes: Tensor, crops: Tensor) -> Tensor:
        seen = crop_with_masks(image, masks, boxes, crops, self.crop_size)
        # The clamp keeps an object possible, though unlikely, outside of its box.
        return seen[:, 3].clamp(0.01, 0.99).logit() + self.predictor(self.blocks(seen))[:, 0]

    def observe(self, batch: FrameBatch, outputs: list[FrameOutput]) -> None:
        for frame, output in zip(batch.frames, outputs, strict=True):
            image, boxes = batch.settings.normalize(frame), output.boxes_video
            crops = self.crop_boxes(boxes)
            logits = self(image, output.box_masks, boxes, crops)
            output.box_masks, output.crops_video = logits.float().sigmoid(), crops
