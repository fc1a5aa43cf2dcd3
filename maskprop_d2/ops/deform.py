"""
Deformable convolution of masked features, literal and folded (see docs/architecture.md).

Shape shorthand beyond that of ``structures``:

    G       dilations, each with a 3x3 deformable convolution of its own
    R       taps in all, 9 * G, in the order (dilation, row, column)
"""

import logging
from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d

logger = logging.getLogger(__name__)


def match_dtypes(first: Tensor, *others: Tensor) -> list[Tensor]:
    """Tensors in the type of the first, float32 at least: torchvision's operator knows no mixed
    precision on a CPU, and wants one type."""
    dtype = torch.promote_types(first.dtype, torch.float32)
    return [x.to(dtype) for x in (first, *others)]


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
    features, masks, offsets, weights = match_dtypes(features, masks, offsets, weights)
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
    C-channel feature is ever built for an instance. CUDA tensors go through Triton's kernels,
    where these work.

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
    if len(masks) == 0:
        return masks.new_zeros(len(offsets), 0, len(maps), *masks.shape[1:])
    if masks.is_cuda and {masks.dtype, maps.dtype, offsets.dtype} == {torch.float32}:
        with torch.cuda.device(masks.device):
            kernel = triton_kernel(masks.device)
            if kernel is not None:
                return kernel(masks, maps, offsets, dilations)
    return sample_and_sum_torch(masks, maps, offsets, dilations)


@cache
def triton_kernel(device: torch.device) -> Callable[..., Tensor] | None:
    """:func:`sample_and_sum` by Triton, if a small case runs on that device, forward and backward.
    If not, None, and a line in the log says why."""
    try:
        from .deform_triton import sample_and_sum as kernel

        with torch.inference_mode(False), torch.enable_grad():
            masks = torch.ones(1, 1, 1, device=device)
            maps = torch.ones(1, 9, 1, 1, device=device, requires_grad=True)
            kernel(masks, maps, torch.zeros(1, 9, 2, 1, 1, device=device), [1]).sum().backward()
    # Whatever is wrong with a compiler, a driver or a version: the slower way is open.
    except Exception as error:
        logger.warning("Masks are propagated without Triton, and slower: %s", error)
        return None
    return kernel


def sample_and_sum_torch(
    masks: Tensor, maps: Tensor, offsets: Tensor, dilations: Sequence[int]
) -> Tensor:
    """:func:`sample_and_sum` by torch's own operators.

    A tap of a target cell gives nothing unless it looks at a cell that some mask covers. The taps
    that do are picked out first; their places and bilinear weights are the same for all
    instances, so that what is left is a sparse matrix times the masks: ``embedding_bag``, with a
    target cell as a bag of taps, once for each of the four cells around a place. The grid is
    padded by two cells on every side, whose masks are 0: the four cells around a place then exist
    for all places that matter, and all others are moved to where nothing is.
    """
    num_maps, num_taps, height, width = maps.shape
    stride = width + 4
    # Row-major over (target, cell, tap): the taps of a target cell lie together. Free of cost
    # where the offsets come from convolutions in the channels-last format.
    places = offsets.permute(0, 3, 4, 1, 2) + _tap_places(height, width, dilations).to(offsets)
    places = places.reshape(-1, 2)
    with torch.no_grad():
        corner = places.floor().int()
        corner = (corner[:, 0].clamp(-2, height) + 2) * stride + corner[:, 1].clamp(-2, width) + 2
        looks_at_mask = _touched(masks).index_select(0, corner)
        active = looks_at_mask.nonzero().squeeze(1)
        corner = corner.index_select(0, active)
        map_corner = corner + (active % num_taps).int() * ((height + 4) * stride)
        taps_per_cell = looks_at_mask.view(-1, num_taps).sum(1)
        bags = (taps_per_cell.cumsum(0) - taps_per_cell).int()
    places = places.index_select(0, active)
    (down, right), (up, left) = ((x[:, 0], x[:, 1]) for x in _fractions(places))
    corners = ((0, up * left), (1, up * right), (stride, down * left), (stride + 1, down * right))
    mask_table = F.pad(masks, (2, 2, 2, 2)).flatten(1).T.contiguous()
    map_tables = F.pad(maps, (2, 2, 2, 2)).flatten(1)
    sums = []
    for map_table in map_tables:
        terms = [
            F.embedding_bag(
                corner,
                mask_table[shift:],
                bags,
                per_sample_weights=weight * map_table[shift:].index_select(0, map_corner),
                mode="sum",
            )
            for shift, weight in corners
        ]
        sums.append(terms[0] + terms[1] + terms[2] + terms[3])
    stacked = torch.stack(sums).view(num_maps, len(offsets), height, width, len(masks))
    return stacked.permute(1, 4, 0, 2, 3)


def _tap_places(height: int, width: int, dilations: Sequence[int]) -> Tensor:
    """(h, w, R, 2): the places (y, x) at which the taps of each cell look without offsets."""
    steps = torch.tensor(dilations)[:, None] * torch.tensor([-1, 0, 1])
    y = torch.arange(height)[:, None, None, None, None] + steps[:, :, None]
    x = torch.arange(width)[:, None, None, None] + steps[:, None, :]
    y, x = torch.broadcast_tensors(y, x)
    return torch.stack([y, x], dim=-1).flatten(2, 4)


def _fractions(places: Tensor) -> tuple[Tensor, Tensor]:
    """How far places lie from the cell above and to the left, and from the next one."""
    fraction = places - places.detach().floor()
    return fraction, 1 - fraction


def _touched(masks: Tensor) -> Tensor:
    """Of each cell of the padded grid, in row-major order, whether any mask covers it, or its
    neighbour below, to the right, or below to the right.

    Where a mask is 0, what is sampled has no value and no gradient, save one with respect to the
    mask itself.
    """
    covered = torch.ones_like(masks[0], dtype=torch.bool)
    if not masks.requires_grad:
        covered = (masks != 0).any(0)
    covered = F.pad(covered, (2, 3, 2, 3))
    rows = covered[:-1] | covered[1:]
    return (rows[:, :-1] | rows[:, 1:]).flatten()
