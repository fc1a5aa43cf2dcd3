"""Soft IoU (Eq. 3), used by the propagation loss and for linking, and a relative of it."""

import torch
from torch import Tensor


def soft_iou_terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The numerator and denominator of Eq. 3: soft intersection and union.

    Args:
        a, b: (..., P) soft masks in [0, 1] of P pixels; they are broadcast.

    Returns:
        two tensors of shape (...).
    """
    intersection = (a * b).sum(-1)
    return intersection, a.sum(-1) + b.sum(-1) - intersection


def pairwise_soft_iou(a: Tensor, b: Tensor) -> Tensor:
    """Soft IoU of each mask of ``a`` with each mask of ``b``; 0 if both are empty.

    For binary masks this is their IoU.

    Args:
        a: (..., N, P) soft masks in [0, 1].
        b: (..., M, P) soft masks in [0, 1].

    Returns:
        (..., N, M) values in [0, 1].
    """
    intersection = a @ b.transpose(-1, -2)
    union = a.sum(-1)[..., :, None] + b.sum(-1)[..., None, :] - intersection
    return intersection / union.clamp(min=1e-6)


def pairwise_containment(a: Tensor, b: Tensor) -> Tensor:
    """How much of the smaller of two masks lies in the other, for each mask of ``a`` and of ``b``.

    Args:
        a: (N, P) soft masks in [0, 1].
        b: (M, P) soft masks in [0, 1].

    Returns:
        (N, M) values in [0, 1]; 0 if one is empty.
    """
    smaller = torch.minimum(a.sum(1)[:, None], b.sum(1))
    return a @ b.T / smaller.clamp(min=1e-6)
