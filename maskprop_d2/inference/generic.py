"""The generic propagation network that comes with the package, and the frames it sees."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks.generic_propagation import EncodedFrame, GenericPropagation

WEIGHTS = Path(__file__).parents[1] / "weights" / "generic_propagation.pt"
MAX_AREA = 480 * 270
"""Larger frames are made smaller, to this number of pixels."""
STRIDE = 16
"""Frames are padded to a multiple of this."""


@cache
def load_generic_propagation(device: str) -> GenericPropagation:
    """The trained network, for inference."""
    network = GenericPropagation()
    weights = torch.load(WEIGHTS, map_location="cpu", weights_only=True)
    network.load_state_dict({name: x.float() for name, x in weights.items()})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False).to(device)


class FrameGrid:
    """How the frames of a video map to what the network sees: smaller, and padded."""

    def __init__(self, height: int, width: int):
        """``height``, ``width``: the frame's size."""
        self.image_size = height, width
        scale = min(1.0, (MAX_AREA / (height * width)) ** 0.5)
        self.size = tuple(max(1, round(x * scale)) for x in self.image_size)
        self.padded = tuple(-(-x // STRIDE) * STRIDE for x in self.size)

    @property
    def box(self) -> tuple[float, float]:
        """Width and height, in pixels of the frame, of what the padded input covers."""
        (height, width), (h, w), (ph, pw) = self.image_size, self.size, self.padded
        return pw * width / w, ph * height / h

    def resize(self, image: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, 3) -> the network's size, without padding."""
        if self.size == self.image_size:
            return image
        return cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)

    def encode(self, network: GenericPropagation, image: np.ndarray) -> EncodedFrame:
        """Encode an (H, W, 3) uint8 RGB frame."""
        device = network.log_scale.device
        frame = torch.from_numpy(np.ascontiguousarray(self.resize(image))).permute(2, 0, 1)[None]
        return network.encode(
            frame.to(device).float().contiguous(memory_format=torch.channels_last)
        )[0]

    def shrink_masks(self, masks: np.ndarray) -> Tensor:
        """(N, H, W) masks in [0, 1] -> (N, h4, w4) soft masks at stride 4."""
        height, width = self.padded
        small = np.zeros((len(masks), height, width), np.float32)
        for target, mask in zip(small, masks, strict=True):
            target[: self.size[0], : self.size[1]] = self.resize(mask.astype(np.float32))
        return F.avg_pool2d(torch.from_numpy(small)[:, None], 4)[:, 0]

    def enlarge_masks(self, masks: Tensor) -> Tensor:
        """(N, h, w) soft masks on a grid of the padded input -> (N, H, W)."""
        stride = self.padded[0] // masks.shape[1]
        full = F.interpolate(masks[None], scale_factor=stride, mode="bilinear")[0]
        full = full[:, : self.size[0], : self.size[1]]
        if self.size == self.image_size:
            return full
        return F.interpolate(full[None], self.image_size, mode="bilinear")[0]
