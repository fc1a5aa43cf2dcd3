"""Masks from logits, pasting of soft masks into a frame, non-maximum suppression of masks."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def soft_masks(logits: Tensor) -> Tensor:
    """(N, h, w) logits -> (N, h, w) soft masks: a softmax over the objects and the background."""
    return torch.cat([logits, torch.zeros_like(logits[:1])]).softmax(0)[:-1]


def paste_masks(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Resample masks that fill boxes to a pixel grid, bilinearly; zero outside of the box.

    Args:
        masks: (N, m, m') soft masks; mask i fills box i.
        boxes: (N, 4) XYXY in pixels of the grid.
        height, width: size of the grid.

    Returns:
        (N, height, width) soft masks.
    """
    x0, y0, x1, y1 = boxes.to(masks.dtype).T[..., None]
    # Pixel centres in coordinates of the box, -1..1. Masks of empty boxes become zero.
    ys = torch.arange(height, device=masks.device, dtype=masks.dtype) + 0.5
    xs = torch.arange(width, device=masks.device, dtype=masks.dtype) + 0.5
    ys = (ys - y0) / (y1 - y0).clamp(min=1e-6) * 2 - 1
    xs = (xs - x0) / (x1 - x0).clamp(min=1e-6) * 2 - 1
    grid = torch.stack(
        [xs[:, None, :].expand(-1, height, -1), ys[:, :, None].expand(-1, -1, width)], dim=3
    )
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def paste_binary_mask(mask: Tensor, box: Tensor, height: int, width: int) -> Tensor:
    """Paste one soft mask and threshold it at 0.5. Only the pixels of the box are computed.

    Args:
        mask: (m, m') soft mask, or a bool mask of the whole frame.
        box: (4,) XYXY in pixels of the frame.
        height, width: frame size.

    Returns:
        (height, width) bool mask.
    """
    if mask.dtype == torch.bool:
        return mask
    x0, y0 = (int(v) for v in box[:2].floor().clamp(min=0).tolist())
    x1, y1 = (int(v) for v in box[2:].ceil().tolist())
    x1, y1 = min(x1, width), min(y1, height)
    full = torch.zeros(height, width, dtype=torch.bool, device=mask.device)
    if x1 > x0 and y1 > y0:
        offset = box.new_tensor([x0, y0, x0, y0])
        region = paste_masks(mask[None], (box - offset)[None], y1 - y0, x1 - x0)
        full[y0:y1, x0:x1] = region[0] > 0.5
    return full


def suppress(same: Tensor, scores: Tensor) -> Tensor:
    """Non-maximum suppression: of detections that show the same object, keep the best.

    Without it, two detections of one object would compete for its pixels in the softmax over
    instances (Sec. 4.2) and become two tracks.

    Args:
        same: (N, N) bool, which detections show the same object.
        scores: (N,) scores.

    Returns:
        (K,) indices of the detections to keep, by descending score.
    """
    order = scores.argsort(descending=True, stable=True)
    kept: list[int] = []
    for i, others in enumerate(same[order][:, order].cpu()):
        if not others[kept].any():
            kept.append(i)
    return order[kept]


def without_specks(masks: Tensor, min_part: float) -> Tensor:
    """Remove small parts of masks, such as background that looks like an object.

    Args:
        masks: (N, h, w) soft masks.
        min_part: area of the smallest part that is kept, as a share of the object's largest part.

    Returns:
        (N, h, w) the masks, 0 in the removed parts.
    """
    removed = np.zeros(masks.shape, bool)
    for inside, specks in zip((masks > 0.5).cpu().numpy(), removed, strict=True):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8))
        if count > 2:
            areas = stats[:, cv2.CC_STAT_AREA]
            is_speck = areas < min_part * areas[1:].max()
            is_speck[0] = False
            specks[:] = is_speck[parts]
    return masks.masked_fill(torch.from_numpy(removed).to(masks.device), 0)
