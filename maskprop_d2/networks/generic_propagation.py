"""
The generic propagation network: it propagates masks of any objects, found by any detector.

It has a small backbone of its own (EfficientNet-Lite0 up to stride 16) and no categories. Masks are
read from a memory of earlier frames by the similarity of keys, as the affinity read-out of
``networks/affinity.py`` does, and a small decoder sharpens what was read along the edges of the
frame. Memory and decoder follow STM (Oh et al., ICCV 2019) and its successors.

Shapes are named as in ``maskprop_d2.structures``; M is the number of frames in the memory, E the
number of channels of the keys. Masks have half the size of the (padded) frames, h x w; features
have h/2 x w/2 and h/4 x w/4 cells, at strides 4 and 8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .affinity import cell_places

KEY_CHANNELS = 64
FEATURE_CHANNELS = 32
CELL = 4
"""Side of a cell of the keys in pixels of a mask."""
STRIDE = 16
"""Frames are padded to a multiple of this."""
MIN_SHARE = 0.01
"""Shares are kept this far from 0 and 1, so that their log-odds are finite."""
BLOCK = 128
"""Cells of the target that are compared at a time with all cells of the memory."""

# Kernel, stride, expansion and output channels of EfficientNet-Lite0's blocks up to stride 16.
BLOCKS = [
    (3, 1, 1, 16),
    *[(3, 2, 6, 24), (3, 1, 6, 24)],
    *[(5, 2, 6, 40), (5, 1, 6, 40)],
    *[(3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80)],
    *[(5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)],
]
STEM_CHANNELS = 32
LAST_BLOCKS = {4: 2, 8: 4, 16: 10}
"""By stride, the block whose output is used."""
CHANNELS = {stride: BLOCKS[i][3] for stride, i in LAST_BLOCKS.items()}


class SameConv(nn.Conv2d):
    """A convolution padded like TensorFlow's: at stride 2, one pixel more at the end.

    So cell i of the output covers the cells 2i and 2i+1 of the input, whose middle it shares.
    """

    def forward(self, x: Tensor) -> Tensor:
        before, uneven = divmod(self.kernel_size[0] - self.stride[0], 2)
        # A larger kernel with a row and a column of zeros is faster than padding the input.
        weight = F.pad(self.weight, (1, 0, 1, 0)) if uneven else self.weight
        padding = before + uneven
        return F.conv2d(x, weight, self.bias, self.stride, padding, groups=self.groups)


class InvertedResidual(nn.Module):
    """MobileNetV2's block, with its batch normalisation folded into the convolutions."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = in_channels * expansion
        self.expand = nn.Conv2d(in_channels, hidden, 1) if expansion > 1 else None
        self.depthwise = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, channels, 1)
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, channels, h / stride, w / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """EfficientNet-Lite0 up to stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM_CHANNELS, 3, 2)
        blocks: list[nn.Module] = []
        in_channels = STEM_CHANNELS
        for kernel, stride, expansion, channels in BLOCKS:
            blocks.append(InvertedResidual(in_channels, channels, kernel, stride, expansion))
            in_channels = channels
        self.blocks = nn.ModuleList(blocks)

    def forward(self, frames: Tensor) -> dict[int, Tensor]:
        """(B, 3, H, W) RGB in 0..255, H and W multiples of 16 -> features by stride."""
        x = F.relu6(self.stem((frames - 127) / 128), inplace=True)
        strides = {i: stride for stride, i in LAST_BLOCKS.items()}
        features = {}
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in strides:
                features[strides[i]] = x
        return features


@dataclass
class EncodedFrame:
    """What is computed once for each frame.

    Attributes:
        keys: (E, h/4, w/4) keys of unit length.
        features8: (FEATURE_CHANNELS, h/4, w/4) features for the decoder.
        features4: (FEATURE_CHANNELS // 2, h/2, w/2) features for the decoder.
    """

    keys: Tensor
    features8: Tensor
    features4: Tensor


@dataclass
class MemoryFrame:
    """A frame whose masks are known.

    Attributes:
        index: frame index t.
        keys: (E, h/4, w/4) its keys.
        masks: (N, h, w) soft masks of all objects in it.
    """

    index: int
    keys: Tensor
    masks: Tensor


class GenericPropagation(nn.Module):
    """Propagates the masks of a memory of frames to another frame."""

    def __init__(self) -> None:
        super().__init__()
        width, half = FEATURE_CHANNELS, FEATURE_CHANNELS // 2
        self.backbone = Backbone()
        self.lateral16 = nn.Conv2d(CHANNELS[16], KEY_CHANNELS, 1)
        self.lateral8 = nn.Conv2d(CHANNELS[8], KEY_CHANNELS, 1)
        self.keys = nn.Conv2d(KEY_CHANNELS, KEY_CHANNELS, 3, padding=1)
        self.features8 = nn.Conv2d(KEY_CHANNELS, width, 3, padding=1)
        self.features4 = nn.Conv2d(CHANNELS[4], half, 3, padding=1)
        # The affinity of keys, of places, and of times.
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.log_penalty = nn.Parameter(torch.tensor(math.log(0.05)))
        self.age_exponent = nn.Parameter(torch.tensor(1.0))
        self.age_bias = nn.Parameter(torch.tensor(0.5))
        self.shares = nn.Conv2d(2 * CELL * CELL, width, 3, padding=1)
        self.decode8 = nn.Conv2d(width, width, 3, padding=1)
        self.reduce = nn.Conv2d(width, half, 1)
        self.decode4 = nn.Conv2d(half, half, 3, padding=1)
        self.predictor = nn.Conv2d(half, 4, 3, padding=1)
        self.share_weight = nn.Parameter(torch.tensor(1.0))

    def encode(self, frames: Tensor) -> list[EncodedFrame]:
        """(B, 3, H, W) RGB frames in 0..255 -> B encoded frames."""
        height, width = frames.shape[-2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        features = self.backbone(F.pad(frames.to(self.log_scale), padding, mode="replicate"))
        coarse = F.interpolate(self.lateral16(features[16]), scale_factor=2.0, mode="bilinear")
        pyramid = F.relu(self.lateral8(features[8]) + coarse)
        keys = F.normalize(self.keys(pyramid), dim=1)
        features8, features4 = self.features8(pyramid), self.features4(features[4])
        return [EncodedFrame(*x) for x in zip(keys, features8, features4, strict=True)]

    def forward(self, memory: list[MemoryFrame], target: EncodedFrame, index: int) -> Tensor:
        """Propagate the masks of N objects.

        Args:
            memory: M frames, N masks each.
            target: the frame to propagate to.
            index: its frame index.

        Returns:
            (N, h, w) logits; the background has 0.
        """
        return self.decode(self.read(memory, target, index), target)

    def read(self, memory: list[MemoryFrame], target: EncodedFrame, index: int) -> Tensor:
        """Read the memory: the mean mask of the remembered cells that look like a target cell.

        The arguments are those of ``forward``.

        Returns:
            (N, 16, h/4, w/4) shares of the objects in the 4 x 4 pixels of each cell.
        """
        height, width = target.keys.shape[-2:]
        places = cell_places(target.keys)
        distances = places.square().sum(0)[None]
        keys = []
        for frame in memory:
            age = abs(index - frame.index)
            penalty = self.log_penalty.exp() * age**-self.age_exponent
            bias = -penalty * distances - self.age_bias * math.log(age)
            keys.append(
                torch.cat(
                    [
                        self.log_scale.exp() * frame.keys.flatten(1),
                        2 * penalty * places,
                        bias,
                        -penalty.expand_as(bias),
                    ]
                )
            )
        ones = torch.ones_like(distances)
        queries = torch.cat([target.keys.flatten(1), places, ones, distances])
        values = [F.pixel_unshuffle(x.masks[:, None], CELL).flatten(2) for x in memory]
        read = read_values(queries, torch.cat(keys, dim=1), torch.cat(values, dim=2))
        return read.unflatten(2, (height, width))

    def decode(
        self, shares: Tensor, target: EncodedFrame, objects: Sequence[int] | None = None
    ) -> Tensor:
        """Turn what was read into masks.

        Args:
            shares: (N, 16, h/4, w/4) from ``read``.
            target: the frame.
            objects: indices of the objects whose edges are sharpened, which takes most of the time
                (default: all).

        Returns:
            (N, h, w) logits; the background has 0.
        """
        coarse = F.pixel_shuffle(shares, CELL).clamp(MIN_SHARE, 1 - MIN_SHARE)
        logits = self.share_weight * coarse.logit()[:, 0]
        chosen = list(range(len(shares)) if objects is None else objects)
        logits[chosen] += self._corrections(shares[chosen], shares.sum(0), target)
        return logits

    def _corrections(self, shares: Tensor, total: Tensor, target: EncodedFrame) -> Tensor:
        """(N, h, w) corrections of logits, where ``total`` is the sum of the shares of all."""
        others = (total - shares).clamp(0, 1)
        x = F.relu(self.shares(torch.cat([shares, others], dim=1)) + target.features8)
        x = F.relu(x + self.decode8(x))
        x = F.interpolate(self.reduce(x), scale_factor=2.0, mode="bilinear")
        x = F.relu(x + target.features4)
        x = F.relu(x + self.decode4(x))
        return F.pixel_shuffle(self.predictor(x), 2)[:, 0]


def read_values(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention whose values are mostly 0, since a mask covers few of the cells.

    Args:
        queries: (D, P).
        keys: (D, Q).
        values: (N, V, Q) of N objects. Values below ``MIN_SHARE`` count as 0.

    Returns:
        (N, V, P) values @ softmax(keys.T @ queries).
    """
    cells = [x.nonzero()[:, 0] for x in (values > MIN_SHARE).any(1)]
    used = [x[:, c] for x, c in zip(values, cells, strict=True)]
    blocks = []
    for block in queries.split(BLOCK, dim=1):
        weights = keys.T @ block
        # Without the clamp, denormal numbers make the product slow.
        weights.sub_(weights.detach().amax(0)).clamp_(min=-16).exp_()
        read = torch.stack([x @ weights[c] for x, c in zip(used, cells, strict=True)])
        blocks.append(read / weights.sum(0))
    return torch.cat(blocks, dim=2)
