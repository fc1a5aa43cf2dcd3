"""Soft masks between the frames they live in: pasting from a box, and removing duplicates."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .soft_iou import pairwise_soft_iou


def paste_masks(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Resample masks that fill boxes onto a pixel grid; bilinear, zero outside of the box.

    Args:
        masks: (N, m, m') soft masks; mask i covers box i.
        boxes: (N, 4) XYXY in pixels of the grid.
        height, width: size of the grid.

    Returns:
        (N, height, width) soft masks.
    """
    x0, y0, x1, y1 = boxes.to(masks.dtype).unbind(1)
    # Centres of the pixels, in the box's own coordinates -1..1. A box without area gets nothing.
    ys = torch.arange(height, device=masks.device, dtype=masks.dtype) + 0.5
    xs = torch.arange(width, device=masks.device, dtype=masks.dtype) + 0.5
    ys = (ys - y0[:, None]) / (y1 - y0).clamp(min=1e-6)[:, None] * 2 - 1
    xs = (xs - x0[:, None]) / (x1 - x0).clamp(min=1e-6)[:, None] * 2 - 1
    grid = torch.stack(
        [xs[:, None, :].expand(-1, height, -1), ys[:, :, None].expand(-1, -1, width)], dim=3
    )
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def paste_binary_mask(mask: Tensor, box: Tensor, height: int, width: int) -> Tensor:
    """Paste one soft mask and threshold it at 0.5; only the box's own pixels are computed.

    Args:
        mask: (m, m') soft mask.
        box: (4,) XYXY in pixels of the frame.
        height, width: frame size.

    Returns:
        (height, width) bool mask.
    """
    x0, y0 = (int(v) for v in box[:2].floor().clamp(min=0).tolist())
    x1, y1 = (int(v) for v in box[2:].ceil().tolist())
    x1, y1 = min(x1, width), min(y1, height)
    full = torch.zeros(height, width, dtype=torch.bool, device=mask.device)
    if x1 > x0 and y1 > y0:
        offset = box.new_tensor([x0, y0, x0, y0])
        region = paste_masks(mask[None], (box - offset)[None], y1 - y0, x1 - x0)
        full[y0:y1, x0:x1] = region[0] > 0.5
    return full


def mask_nms(masks: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Greedy suppression of masks that repeat one with a higher score, whatever their category.

    Two detections of one object would share it in the softmax over instances (Sec. 4.2) and then
    be linked as two tracks.

    Args:
        masks: (N, h, w) soft masks.
        scores: (N,) values to sort by.
        threshold: soft IoU above which a mask repeats another.

    Returns:
        indices of the masks to keep, by falling score.
    """
    order = scores.argsort(descending=True, stable=True)
    flat = masks.flatten(1)[order]
    repeats = (pairwise_soft_iou(flat, flat) > threshold).cpu()
    kept: list[int] = []
    for i in range(len(order)):
        if not repeats[i, kept].any():
            kept.append(i)
    return order[kept]
