"""Square crops of a frame around its objects. Shape shorthand: P, side of a crop in cells."""

import torch
from torch import Tensor
from torchvision.ops import roi_align

from .masks import paste_masks


def square_boxes(boxes: Tensor, context: float) -> Tensor:
    """Squares around the centres of boxes, so that nothing is stretched.

    Args:
        boxes: (N, 4) XYXY.
        context: a square's side in relation to the longer side of its box.

    Returns:
        (N, 4) squares, XYXY.
    """
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    # A box without area has a crop of one pixel.
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True).clamp(min=1.0) * context
    return torch.cat([center - side / 2, center + side / 2], dim=1)


def crop_with_masks(
    image: Tensor, masks: Tensor, boxes: Tensor, crops: Tensor, size: int
) -> Tensor:
    """What a network sees of each object: its crop, and as one more channel its mask.

    Args:
        image: (C, H, W).
        masks: (N, m, m) soft masks inside the boxes.
        boxes: (N, 4) in pixels of the image.
        crops: (N, 4) likewise, of any place and size.
        size: P.

    Returns:
        (N, C+1, P, P); averages where a crop is finer than P cells, 0 outside of the image.
    """
    patches = roi_align(image[None], [crops], size, aligned=True)
    cells_per_pixel = size / (crops[:, 2:] - crops[:, :2]).repeat(1, 2)
    boxes_in_crop = (boxes - crops[:, :2].repeat(1, 2)) * cells_per_pixel
    # The 16 bits of mixed precision cannot tell places in a large crop apart.
    placed = paste_masks(masks.float(), boxes_in_crop, size, size)
    return torch.cat([patches, placed[:, None]], dim=1)
