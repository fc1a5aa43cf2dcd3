"""
The affinity read-out: propagation of masks by comparing what cells of two frames look like.

The paper's branch predicts where to look from the difference of the features of two frames. It
cannot tell which of several places looks like the object, so it loses objects that move far. The
read-out compares each cell of frame s with all cells of frame t, as memory networks for video
object segmentation do (STM, Oh et al., ICCV 2019).

Shapes are named as in ``maskprop_d2.structures``; E is the number of channels of the keys, and the
grid of the keys has h' x w' cells.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError

MIN_SHARE = 1e-4
"""Shares below this count as this, so that their logarithm is finite."""


class AffinityReadout(nn.Module):
    """Reads the masks of frame t at each cell of frame s, by the similarity of keys.

    With unit-length keys k, a cell p of frame s reads the cells q of frame t with weights::

        a(p, q) = softmax over q of (scale * <k_s(p), k_t(q)> - penalty * |p - q|^2)
        r_i(p) = sum over q of a(p, q) * M_i(q)

    What no mask covers is the background, with its own share; all shares of a cell add up to 1
    (unless masks overlap). ``scale`` and ``penalty`` are learned. The affinities themselves are
    never stored: this is attention with keys, queries and masks.
    """

    def __init__(self, *, in_channels: int, channels: int, stride: int):
        """
        Args:
            in_channels: C, channels of the pyramid level.
            channels: E, channels of the keys.
            stride: cells of the level in each direction for one key. The cost of a pair of frames
                falls with its fourth power.

        Raises:
            InputError: if a value is not a whole number above 0.
        """
        super().__init__()
        for name, value in (("CHANNELS", channels), ("STRIDE", stride)):
            if type(value) is not int or value < 1:
                raise InputError(
                    f"PROPAGATION.AFFINITY.{name} must be a whole number above 0, got {value!r}"
                )
        # A detector's features keep little of an object's colours, which tell objects apart.
        self.keys = nn.Sequential(
            nn.Conv2d(in_channels + 3, channels, 3, stride=stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(25.0)))
        self.log_penalty = nn.Parameter(torch.tensor(math.log(0.002)))
        self.weight = nn.Parameter(torch.tensor(1.0))

    def encode(self, features: Tensor, colors: Tensor) -> Tensor:
        """Compute the keys of B frames.

        Args:
            features: (B, C, h, w) the pyramid level.
            colors: (B, 3, h, w) mean colours of its cells.

        Returns:
            (B, E, h', w') of unit length.
        """
        keys = self.keys(torch.cat([features, colors.to(features)], dim=1))
        return F.normalize(keys.to(torch.promote_types(keys.dtype, torch.float32)), dim=1)

    def forward(self, masks: Tensor, source: Tensor, targets: Tensor) -> Tensor:
        """Compute the logits that the read-out adds to those of the warp.

        Args:
            masks: (N, h, w) soft masks in frame t.
            source: (E, h', w') keys of frame t.
            targets: (S, E, h', w') keys of the target frames.

        Returns:
            (S, N+1, h, w) logits; the last is the background's.
        """
        # Sums over many cells, and positions, need more than 16 bits.
        with torch.autocast(masks.device.type, enabled=False):
            shares = self.read(masks.to(source), source, targets)
            shares = F.interpolate(
                shares, masks.shape[-2:], mode="bilinear", align_corners=False
            ).clamp(MIN_SHARE, 1)
            return self.weight * shares.log()

    def read(self, masks: Tensor, source: Tensor, targets: Tensor) -> Tensor:
        """Compute the shares r: arguments of :meth:`forward` -> (S, N+1, h', w') in [0, 1]."""
        height, width = source.shape[-2:]
        small = F.interpolate(masks[None], (height, width), mode="area")[0]
        background = (1 - small.sum(0, keepdim=True)).clamp(min=0)
        values = torch.cat([small, background]).flatten(1).T
        penalty = self.log_penalty.exp()
        places = cell_places(source)
        # -penalty * |p - q|^2 without |p|^2, which the softmax over q ignores, is a dot product.
        keys = torch.cat([source.flatten(1), places, -penalty * places.square().sum(0)[None]]).T
        queries = torch.cat(
            [
                self.log_scale.exp() * targets.flatten(2),
                (2 * penalty * places).expand(len(targets), -1, -1),
                torch.ones_like(places[:1]).expand(len(targets), -1, -1),
            ],
            dim=1,
        ).transpose(1, 2)
        read = attention(queries.flatten(0, 1), keys, values)
        return read.unflatten(0, (-1, height, width)).permute(0, 3, 1, 2)


def pooled_keys(keys: Tensor, masks: Tensor, power: float = 1.0) -> Tensor:
    """Describe what objects look like: the mean key under each mask.

    Args:
        keys: (E, h', w') keys of a frame.
        masks: (N, h, w) soft masks of its objects.
        power: a cell counts by this power of the mask's share of it. With more than 1, cells at
            the border of a mask, which also show what lies beside the object, count less.

    Returns:
        (N, E) of unit length; 0 for an empty mask.
    """
    shares = F.interpolate(masks[None].to(keys), keys.shape[-2:], mode="area")[0]
    return F.normalize(shares.flatten(1) ** power @ keys.flatten(1).T, dim=1)


def cell_places(keys: Tensor) -> Tensor:
    """(2, h' w') places (y, x) of the cells of (E, h', w') keys; the middle of the grid is at 0."""
    height, width = keys.shape[-2:]
    y, x = (torch.arange(n).to(keys) - (n - 1) / 2 for n in (height, width))
    return torch.stack([y[:, None].expand(height, width), x.expand(height, width)]).flatten(1)


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(queries @ keys.T) @ values for (P, D), (Q, D) and (Q, V), without a (P, Q) matrix."""
    # torch's kernels without it want equal widths, in steps of 8.
    columns = values.shape[1]
    width = -(-max(queries.shape[1], columns) // 8) * 8
    queries, keys, values = (
        F.pad(x, (0, width - x.shape[1]))[None, None].contiguous() for x in (queries, keys, values)
    )
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[0, 0, :, :columns]
