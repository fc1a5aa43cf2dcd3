"""
``sample_and_sum`` as Triton kernels for GPUs. ``deform.py`` explains the method and the shapes.

Positions and weights are computed in registers; only the result is written to memory. A block of
target cells skips the taps that sample no mask.
"""

# The arguments of kernels have no useful types.
# mypy: allow-untyped-defs, allow-incomplete-defs

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .deform import tap_offsets

if triton.__version__.startswith(("2.", "3.0.", "3.1.")):
    raise ImportError(f"Triton {triton.__version__} computes wrong sums: 3.2 or newer is needed")

CELLS = 64  # Target cells per program.
INSTANCES = 16  # Most instances that a program processes at once.


def sample_and_sum(
    masks: Tensor, maps: Tensor, offsets: Tensor, dilations: Sequence[int]
) -> Tensor:
    """Like ``deform.sample_and_sum``, for float32 and N > 0."""
    out: Tensor = _SampleAndSum.apply(masks, maps, offsets, tuple(dilations))
    return out


@triton.jit
def _positions(offsets, taps, target, tap, cell, inside, height, width, num_taps):
    """The cells to the top left of the sampling positions of a tap, and the offsets from there."""
    cells = height * width
    pair = (target * num_taps + tap) * 2
    y = tl.load(offsets + pair * cells + cell, mask=inside, other=0.0)
    x = tl.load(offsets + (pair + 1) * cells + cell, mask=inside, other=0.0)
    y += tl.load(taps + 2 * tap) + cell // width
    x += tl.load(taps + 2 * tap + 1) + cell % width
    # Clamped to the range of integers. There is no mask outside of the grid.
    y = tl.minimum(tl.maximum(y, -2.0), height + 1.0)
    x = tl.minimum(tl.maximum(x, -2.0), width + 1.0)
    top, left = tl.floor(y), tl.floor(x)
    return top.to(tl.int32), left.to(tl.int32), y - top, x - left


@triton.jit
def _corner(top, left, down, right, i: tl.constexpr, j: tl.constexpr, inside, height, width):
    """One of the four cells around positions: its index, whether it is in the grid, its bilinear
    weight, and the derivatives of the weight with respect to y and x."""
    row, column = top + i, left + j
    exists = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    weight_y = down if i else 1 - down
    weight_x = right if j else 1 - right
    slope_y = weight_x if i else -weight_x
    slope_x = weight_y if j else -weight_y
    return row * width + column, exists, weight_y * weight_x, slope_y, slope_x


@triton.jit
def _near_mask(covered, top, left, down, right, inside, height, width):
    """Whether a mask covers any of the four cells around any position of a block."""
    found = tl.zeros_like(top)
    for i in tl.static_range(2):
        for j in tl.static_range(2):
            at, exists, _, _, _ = _corner(top, left, down, right, i, j, inside, height, width)
            found |= tl.load(covered + at, mask=exists, other=0).to(tl.int32)
    return tl.max(found, axis=0) > 0


@triton.jit
def _forward(
    masks, maps, offsets, taps, covered, out,
    height, width, num_masks,
    num_maps: tl.constexpr, num_taps: tl.constexpr,
    CELLS: tl.constexpr, INSTANCES: tl.constexpr,
):  # fmt: skip
    """``out`` (S, D, h*w, N) from ``masks`` (h*w, N), ``maps`` (D, R, h*w), ``offsets``
    (S, R, 2, h*w), ``taps`` (R, 2), ``covered`` (h*w); one program per block of cells, target, and
    (map, block of instances)."""
    cells = height * width
    cell = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    inside = cell < cells
    target = tl.program_id(1)
    d = tl.program_id(2) % num_maps
    n = tl.program_id(2) // num_maps * INSTANCES + tl.arange(0, INSTANCES)
    total = tl.zeros((CELLS, INSTANCES), dtype=tl.float32)
    for tap in range(num_taps):
        top, left, down, right = _positions(
            offsets, taps, target, tap, cell, inside, height, width, num_taps
        )
        if _near_mask(covered, top, left, down, right, inside, height, width):
            for i in tl.static_range(2):
                for j in tl.static_range(2):
                    at, exists, weight, _, _ = _corner(
                        top, left, down, right, i, j, inside, height, width
                    )
                    map_at = maps + (d * num_taps + tap) * cells + at
                    factor = weight * tl.load(map_at, mask=exists, other=0.0)
                    mask_at = masks + at[:, None] * num_masks + n[None, :]
                    known = exists[:, None] & (n < num_masks)[None, :]
                    total += factor[:, None] * tl.load(mask_at, mask=known, other=0.0)
    out_at = out + ((target * num_maps + d) * cells + cell)[:, None] * num_masks + n[None, :]
    tl.store(out_at, total, mask=inside[:, None] & (n < num_masks)[None, :])


@triton.jit
def _backward(
    masks, maps, offsets, taps, covered, grad, grad_masks, grad_maps, grad_offsets,
    height, width, num_masks,
    num_maps: tl.constexpr, num_taps: tl.constexpr,
    CELLS: tl.constexpr, INSTANCES: tl.constexpr,
    BLOCKS: tl.constexpr, NEED_MASKS: tl.constexpr,
):  # fmt: skip
    """Gradients, in the shapes of their tensors, from ``grad`` (S, D, h*w, N); one program per
    block of cells, target and tap. Gradients shared by target cells are added atomically."""
    cells = height * width
    cell = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    inside = cell < cells
    target, tap = tl.program_id(1), tl.program_id(2)
    top, left, down, right = _positions(
        offsets, taps, target, tap, cell, inside, height, width, num_taps
    )
    if _near_mask(covered, top, left, down, right, inside, height, width):
        grad_y = tl.zeros((CELLS,), dtype=tl.float32)
        grad_x = tl.zeros((CELLS,), dtype=tl.float32)
        for d in range(num_maps):
            grad_at = grad + ((target * num_maps + d) * cells + cell)[:, None] * num_masks
            for i in tl.static_range(2):
                for j in tl.static_range(2):
                    at, exists, weight, slope_y, slope_x = _corner(
                        top, left, down, right, i, j, inside, height, width
                    )
                    map_at = (d * num_taps + tap) * cells + at
                    value = tl.load(maps + map_at, mask=exists, other=0.0)
                    product = tl.zeros((CELLS,), dtype=tl.float32)
                    for block in range(BLOCKS):
                        n = (block * INSTANCES + tl.arange(0, INSTANCES))[None, :]
                        known = exists[:, None] & (n < num_masks)
                        upstream = tl.load(grad_at + n, mask=known, other=0.0)
                        mask_at = at[:, None] * num_masks + n
                        mask = tl.load(masks + mask_at, mask=known, other=0.0)
                        product += tl.sum(upstream * mask, axis=1)
                        if NEED_MASKS:
                            share = upstream * (weight * value)[:, None]
                            tl.atomic_add(grad_masks + mask_at, share, mask=known)
                    tl.atomic_add(grad_maps + map_at, weight * product, mask=exists)
                    grad_y += slope_y * value * product
                    grad_x += slope_x * value * product
        pair = (target * num_taps + tap) * 2
        tl.store(grad_offsets + pair * cells + cell, grad_y, mask=inside)
        tl.store(grad_offsets + (pair + 1) * cells + cell, grad_x, mask=inside)


class _SampleAndSum(torch.autograd.Function):
    """The kernels as a differentiable function."""

    @staticmethod
    def forward(
        ctx: Any, masks: Tensor, maps: Tensor, offsets: Tensor, dilations: tuple[int, ...]
    ) -> Tensor:
        num_maps, num_taps, height, width = maps.shape
        num_targets, num_masks = len(offsets), len(masks)
        taps = tap_offsets(dilations).to(offsets)
        # Transposed, since all instances of a cell are read together.
        table = masks.flatten(1).T.contiguous()
        # The gradient of a mask is not zero where the mask is.
        covered = ((table != 0).any(1) | ctx.needs_input_grad[0]).to(torch.uint8)
        maps, offsets = maps.contiguous(), offsets.contiguous()
        out = maps.new_empty(num_targets, num_maps, height, width, num_masks)
        sizes = (height, width, num_masks, num_maps, num_taps)
        instances = _block(num_masks)
        map_blocks = num_maps * triton.cdiv(num_masks, instances)
        grid = (triton.cdiv(height * width, CELLS), num_targets, map_blocks)
        _forward[grid](
            table, maps, offsets, taps, covered, out, *sizes, CELLS=CELLS, INSTANCES=instances
        )
        ctx.save_for_backward(table, maps, offsets, taps, covered)
        return out.permute(0, 4, 1, 2, 3)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, maps, offsets, taps, covered = ctx.saved_tensors
        num_maps, num_taps, height, width = maps.shape
        num_masks = table.shape[1]
        grad_masks, grad_maps, grad_offsets = (torch.zeros_like(x) for x in (table, maps, offsets))
        grid = (triton.cdiv(height * width, CELLS), len(offsets), num_taps)
        instances = _block(num_masks)
        _backward[grid](
            table, maps, offsets, taps, covered, grad.permute(0, 2, 3, 4, 1).contiguous(),
            grad_masks, grad_maps, grad_offsets,
            height, width, num_masks, num_maps, num_taps,
            CELLS=CELLS, INSTANCES=instances,
            BLOCKS=triton.cdiv(num_masks, instances), NEED_MASKS=ctx.needs_input_grad[0],
        )  # fmt: skip
        grad_masks = grad_masks.T.reshape(num_masks, height, width)
        return grad_masks, grad_maps, grad_offsets, None


def _block(num_masks: int) -> int:
    """The number of instances that a program processes at once."""
    return min(INSTANCES, triton.next_power_of_2(num_masks))
