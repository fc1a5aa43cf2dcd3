"""The generic propagation network that comes with the package, and the frames it sees."""

from functools import cache
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.generic_propagation import STRIDE, EncodedFrame, GenericPropagation

WEIGHTS = Path(__file__).parents[1] / "weights" / "generic_propagation.pt"
FAST_AREA = 336 * 189
"""Area in pixels of the network's input for linking. Smaller frames keep their size."""
FINE_AREA = 864 * 480
"""Area in pixels of its input for ``propagate``. Smaller frames are enlarged."""
MAX_ENLARGEMENT = 2.0
"""Limit of the factor by which a side of a frame is enlarged."""


@cache
def load_generic_propagation(device: str) -> GenericPropagation:
    """The trained network, for inference."""
    network = GenericPropagation()
    weights = torch.load(WEIGHTS, map_location="cpu", weights_only=True)
    network.load_state_dict({name: x.float() for name, x in weights.items()})
    # torch's types know this argument only from some version on.
    cast(Any, network).to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False).to(device)


class FrameGrid:
    """Converts the frames and masks of a video to the resized, padded input of the network, and
    back."""

    def __init__(self, height: int, width: int, *, fine: bool):
        """
        Args:
            height, width: the frame's size.
            fine: resize it to ``FINE_AREA``; otherwise to at most ``FAST_AREA``.
        """
        self.image_size = height, width
        area, limit = (FINE_AREA, MAX_ENLARGEMENT) if fine else (FAST_AREA, 1.0)
        scale = min(limit, (area / (height * width)) ** 0.5)
        self.size = tuple(max(1, round(x * scale)) for x in self.image_size)
        self.padded = tuple(-(-x // STRIDE) * STRIDE for x in self.size)

    @property
    def box(self) -> tuple[float, float]:
        """Width and height of the padded input, in pixels of the frame."""
        (height, width), (h, w), (ph, pw) = self.image_size, self.size, self.padded
        return pw * width / w, ph * height / h

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resize an (H, W) or (H, W, 3) array to the network's input without padding."""
        if self.size == self.image_size:
            return image
        smaller = self.size < self.image_size
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return cv2.resize(image, self.size[::-1], interpolation=interpolation)

    def encode(self, network: GenericPropagation, image: np.ndarray) -> EncodedFrame:
        """Encode an (H, W, 3) uint8 RGB frame."""
        frame = torch.from_numpy(np.ascontiguousarray(self.resize(image))).permute(2, 0, 1)[None]
        return network.encode(frame.contiguous(memory_format=torch.channels_last))[0]

    def shrink_masks(self, masks: np.ndarray) -> Tensor:
        """(N, H, W) masks in [0, 1] -> (N, h, w) soft masks with half the sides of the input."""
        height, width = (x // 2 for x in self.padded)
        inner = -(-self.size[0] // 2), -(-self.size[1] // 2)
        small = np.zeros((len(masks), height, width), np.float32)
        for target, mask in zip(small, masks, strict=True):
            # Bytes are resized several times faster than floats.
            scale = 255 if mask.dtype == bool else 1
            mask = mask.view(np.uint8) * np.uint8(255) if scale > 1 else mask.astype(np.float32)
            shrunk = cv2.resize(mask, inner[::-1], interpolation=cv2.INTER_AREA)
            target[: inner[0], : inner[1]] = shrunk / scale
        return torch.from_numpy(small)

    def enlarge_masks(self, masks: Tensor) -> Tensor:
        """(N, h, w) soft masks -> (N, H, W)."""
        full = F.interpolate(masks[None], scale_factor=2.0, mode="bilinear")[0]
        full = full[:, : self.size[0], : self.size[1]]
        if self.size == self.image_size:
            return full
        return F.interpolate(full[None], self.image_size, mode="bilinear")[0]
