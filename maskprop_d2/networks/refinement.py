"""
High-resolution mask refinement (Sec. 4.4 of the paper). Nothing here needs Detectron2.

Shape shorthand beyond that of ``structures``:

    P       side of a crop in cells (384)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ..errors import InputError
from ..ops.crops import crop_with_masks, square_boxes

MAX_CROP_SIZE, MAX_CONTEXT, MAX_CHUNK_SIZE = 4096, 16, 4096
"""Far more than any model has. What a file asks for beyond that would take memory, or time, that
nobody has."""


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


class MaskRefinement(nn.Module):
    """Draws the masks of detected objects anew on square crops of the frame.

    The network sees the crop and the low-resolution mask, and what it gives is added to the logits
    of the latter. Its last layer starts at zero, so that refinement starts as a mere enlargement.

    Crops go through it ``chunk_size`` at a time, and in training only their outputs are kept and
    the rest is computed again for the gradients: memory does not grow with the number of instances.
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
            context: a crop's side in relation to the longer side of its box.
            channels: of the three residual blocks.
            num_groups: of their GroupNorm.
            chunk_size: crops that are worked on at once.

        Raises:
            InputError: if there can be no such crops.
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
                f"REFINEMENT.CROP_SIZE {crop_size}, CONTEXT {context}, CHUNK_SIZE {chunk_size}: "
                f"all must be above 0 and at most {MAX_CROP_SIZE}, {MAX_CONTEXT} and "
                f"{MAX_CHUNK_SIZE}, the first and the last whole"
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
        """See ``square_boxes``. (N, 4) -> (N, 4)."""
        return square_boxes(boxes, self.context)

    def forward(self, image: Tensor, masks: Tensor, boxes: Tensor, crops: Tensor) -> Tensor:
        """
        Args:
            image: (3, H, W) in the channel order and normalisation of the network's input.
            masks: (N, m, m) soft masks inside the boxes.
            boxes: (N, 4) in pixels of the image.
            crops: (N, 4) those of ``crop_boxes``.

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
        """As ``forward``, all crops at once."""
        # Outside of the image is zero, its mean.
        seen = crop_with_masks(image, masks, boxes, crops, self.crop_size)
        x = self.blocks(seen)
        # Outside of its box an object is unlikely, not impossible.
        return seen[:, 3].clamp(0.01, 0.99).logit() + self.predictor(x)[:, 0]
