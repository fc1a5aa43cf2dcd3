"""
Deformable convolution of masked features, literal and folded (see docs/architecture.md).

Shape shorthand beyond that of ``structures``:

    G       dilations, each with a 3x3 deformable convolution of its own
    R       taps in all, 9 * G, in the order (dilation, row, column)
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d


def deform_masked_features(
    masks: Tensor, features: Tensor, offsets: Tensor, weights: Tensor, dilations: Sequence[int]
) -> Tensor:
    """Propagated instance features g, as the paper says it (Sec. 4.2): the readable reference.

    The instance features ``masks * features`` go through one 3x3 deformable convolution per
    dilation; the results are averaged.

    Args:
        masks: (N, h, w) soft masks in frame t.
        features: (C, h, w) features of frame t.
        offsets: (R, 2, h, w) offsets (y, x) in cells, one set for all instances.
        weights: (G, C', C, 3, 3) convolution weights.
        dilations: the G dilation rates.

    Returns:
        (N, C', h, w)
    """
    instance_features = masks[:, None] * features
    per_dilation = offsets.flatten(0, 1).chunk(len(dilations))
    propagated = [
        deform_conv2d(
            instance_features,
            offset.expand(len(masks), -1, -1, -1),
            weight,
            padding=dilation,
            dilation=dilation,
        )
        for offset, weight, dilation in zip(per_dilation, weights, dilations, strict=True)
    ]
    return torch.stack(propagated).mean(0)


def sample_and_sum(
    masks: Tensor, maps: Tensor, offsets: Tensor, dilations: Sequence[int]
) -> Tensor:
    """For each instance the sum over taps r of ``(mask * map_r)`` sampled where tap r looks.

    With ``map_r = P W_r f_t / G`` this equals ``P g`` of :func:`deform_masked_features`, and no
    C-channel feature is ever built for an instance. The weights and places of the 4R samples of
    a cell are the same for all instances, so that what is left is a sparse matrix product with
    the masks, which torch has (CPU and GPU, forward and backward) as ``embedding_bag``.

    Args:
        masks: (N, h, w) soft masks in frame t.
        maps: (D, R, h, w) maps of frame t.
        offsets: (S, R, 2, h, w) offsets (y, x) in cells for each target frame.
        dilations: the G dilation rates.

    Returns:
        (S, N, D, h, w), in float32 at least.
    """
    # The 16 bits of mixed precision cannot tell places in a large grid apart.
    masks, maps, offsets = (
        x.to(torch.promote_types(x.dtype, torch.float32)) for x in (masks, maps, offsets)
    )
    num_maps, num_taps, height, width = maps.shape
    num_targets, num_masks = len(offsets), len(masks)
    if num_masks == 0:
        return masks.new_zeros(num_targets, 0, num_maps, height, width)
    cells = height * width
    index, weight = _bilinear_corners(offsets, dilations)
    bags = index.permute(1, 3, 0, 2).reshape(num_targets * cells, num_taps * 4)
    table = masks.flatten(1).T.contiguous()
    sums = []
    for tap_maps in maps.flatten(2):
        values = tap_maps.gather(1, index.flatten(1)).view_as(weight) * weight
        values = values.permute(1, 3, 0, 2).reshape_as(bags)
        sums.append(F.embedding_bag(bags, table, per_sample_weights=values, mode="sum"))
    stacked = torch.stack(sums).view(num_maps, num_targets, height, width, num_masks)
    return stacked.permute(1, 4, 0, 2, 3)


def _bilinear_corners(offsets: Tensor, dilations: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The four cells around each sampled place, and their bilinear weights.

    Returns:
        index (int64) and weight, both (R, S, 4, h*w): cells outside of the grid have weight 0.
    """
    height, width = offsets.shape[-2:]
    steps = offsets.new_tensor([-1, 0, 1])
    reach = offsets.new_tensor(dilations)[:, None] * steps
    tap_y = reach[:, :, None].expand(-1, 3, 3).reshape(-1, 1, 1)
    tap_x = reach[:, None, :].expand(-1, 3, 3).reshape(-1, 1, 1)
    rows = torch.arange(height, device=offsets.device)[:, None]
    columns = torch.arange(width, device=offsets.device)
    y = offsets[:, :, 0] + tap_y + rows
    x = offsets[:, :, 1] + tap_x + columns
    y, x = y.transpose(0, 1).flatten(2), x.transpose(0, 1).flatten(2)
    y0, x0 = y.detach().floor(), x.detach().floor()
    indices, weights = [], []
    for corner_y, weight_y in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
        for corner_x, weight_x in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            inside = (corner_y >= 0) & (corner_y < height) & (corner_x >= 0) & (corner_x < width)
            index = corner_y.clamp(0, height - 1) * width + corner_x.clamp(0, width - 1)
            indices.append(index.long())
            weights.append(weight_y * weight_x * inside)
    return torch.stack(indices, 2), torch.stack(weights, 2)
