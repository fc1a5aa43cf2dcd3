"""
Deformable convolution of masked features: the literal form and the fused one (see
docs/architecture.md).

Shapes, in addition to those in ``structures.py``:

    G       number of dilations, each with its own 3x3 deformable convolution
    R       number of taps, 9 * G, in the order (dilation, row, column)
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
    """Convert all tensors to the dtype of the first, at least float32.

    torchvision's operator needs a common dtype, and does not support autocast on CPU.
    """
    dtype = torch.promote_types(first.dtype, torch.float32)
    return [x.to(dtype) for x in (first, *others)]


def deform_masked_features(
    masks: Tensor, features: Tensor, offsets: Tensor, weights: Tensor, dilations: Sequence[int]
) -> Tensor:
    """The propagated instance features g of the paper (Sec. 4.2), computed literally.

    The instance features ``masks * features`` go through one 3x3 deformable convolution per
    dilation, whose outputs are averaged.

    Args:
        masks: (N, h, w) soft masks in frame t.
        features: (C, h, w) features of frame t.
        offsets: (R, 2, h, w) offsets (y, x) in cells, shared by all instances.
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
    """For each instance, the sum over taps r of ``mask * map_r``, sampled at the position of tap r.

    With ``map_r = P W_r f_t / G`` this equals ``P g`` for the g of :func:`deform_masked_features`
    and a 1x1 convolution P, without computing C feature channels per instance. CUDA tensors use
    Triton kernels if available.

    Args:
        masks: (N, h, w) soft masks in frame t.
        maps: (D, R, h, w) maps of frame t.
        offsets: (S, R, 2, h, w) offsets (y, x) in cells, for each target frame.
        dilations: the G dilation rates.

    Returns:
        (S, N, D, h, w), at least float32.
    """
    # Float16 is too coarse for coordinates in a large grid.
    masks, maps, offsets = match_dtypes(masks, maps, offsets)
    if len(masks) == 0:
        return masks.new_zeros(len(offsets), 0, len(maps), *masks.shape[1:])
    if masks.is_cuda and masks.dtype == torch.float32:
        with torch.cuda.device(masks.device):
            kernel = triton_kernel(masks.device)
            if kernel is not None:
                return kernel(masks, maps, offsets, dilations)
    return sample_and_sum_torch(masks, maps, offsets, dilations)


@cache
def triton_kernel(device: torch.device) -> Callable[..., Tensor] | None:
    """The Triton version of :func:`sample_and_sum`, or None, with a warning, if it does not run on
    this device."""
    try:
        from .deform_triton import sample_and_sum as kernel

        with torch.inference_mode(False), torch.enable_grad():
            masks = torch.ones(1, 1, 1, device=device)
            maps = torch.ones(1, 9, 1, 1, device=device, requires_grad=True)
            kernel(masks, maps, torch.zeros(1, 9, 2, 1, 1, device=device), [1]).sum().backward()
    # Compilers, drivers and versions fail in many ways, and there is a fallback.
    except Exception as error:
        logger.warning("Mask propagation is slower, since Triton does not work here: %s", error)
        return None
    return kernel


@cache
def table_needs_gradient() -> bool:
    """Whether this version of torch cannot compute the gradient of ``embedding_bag``'s weights
    alone, as 2.5."""
    with torch.inference_mode(False), torch.enable_grad():
        weights, zero = torch.ones(1, requires_grad=True), torch.zeros(1, dtype=torch.int)
        try:
            F.embedding_bag(zero, torch.ones(1, 1), zero, per_sample_weights=weights, mode="sum")
        except RuntimeError:
            return True
    return False


def sample_and_sum_torch(
    masks: Tensor, maps: Tensor, offsets: Tensor, dilations: Sequence[int]
) -> Tensor:
    """:func:`sample_and_sum` in plain PyTorch.

    A tap contributes only if a mask covers one of the four cells around its sampling position.
    Those taps are selected first. Their positions and bilinear weights do not depend on the
    instance, so the rest is a product of a sparse matrix and the masks: ``embedding_bag``, with a
    bag of taps for each target cell, once for each of the four neighbouring cells. The grid is
    padded by two empty cells on each side, and positions further outside are moved into the
    padding, so that all four neighbours exist.
    """
    num_maps, num_taps, height, width = maps.shape
    stride = width + 4
    # In the order (target, cell, tap), the taps of a cell are contiguous. This copies nothing if
    # the offsets come from a channels-last convolution.
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    taps = (cells.view(height, width, 1, 2) + tap_offsets(dilations)).to(offsets)
    positions = (offsets.permute(0, 3, 4, 1, 2) + taps).reshape(-1, 2)
    with torch.no_grad():
        corner = positions.floor().int()
        corner = (corner[:, 0].clamp(-2, height) + 2) * stride + corner[:, 1].clamp(-2, width) + 2
        is_active = _near_mask(masks).index_select(0, corner)
        active = is_active.nonzero().squeeze(1)
        corner = corner.index_select(0, active)
        map_corner = corner + (active % num_taps).int() * ((height + 4) * stride)
        taps_per_cell = is_active.view(-1, num_taps).sum(1)
        bags = (taps_per_cell.cumsum(0) - taps_per_cell).int()
    positions = positions.index_select(0, active)
    down, right = (positions - positions.detach().floor()).unbind(1)
    up, left = 1 - down, 1 - right
    corners = ((0, up * left), (1, up * right), (stride, down * left), (stride + 1, down * right))
    mask_table = F.pad(masks, (2, 2, 2, 2)).flatten(1).T.contiguous()
    if maps.requires_grad and torch.is_grad_enabled() and table_needs_gradient():
        mask_table.requires_grad_()
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


def tap_offsets(dilations: Sequence[int]) -> Tensor:
    """(R, 2) positions (y, x) of the taps relative to their cell."""
    window = torch.cartesian_prod(*[torch.arange(-1, 2)] * 2)
    return torch.cat([d * window for d in dilations])


def _near_mask(masks: Tensor) -> Tensor:
    """For each cell of the padded grid, in row-major order, whether any mask covers it or its
    neighbour below, to the right, or below to the right."""
    # The gradient of a mask is not zero where the mask is.
    covered = (masks != 0).any(0)
    if masks.requires_grad:
        covered = torch.ones_like(covered)
    covered = F.pad(covered, (2, 3, 2, 3))
    rows = covered[:-1] | covered[1:]
    return (rows[:, :-1] | rows[:, 1:]).flatten()
