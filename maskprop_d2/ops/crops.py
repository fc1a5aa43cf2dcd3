"""Square crops around objects."""

import torch
from torch import Tensor
from torchvision.ops import roi_align

from .masks import paste_masks


def square_boxes(boxes: Tensor, context: float) -> Tensor:
    """Squares with the centres of the boxes.

    Args:
        boxes: (N, 4) XYXY.
        context: the side of a square relative to the longer side of its box.

    Returns:
        (N, 4) XYXY.
    """
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    # An empty box gets a crop of one pixel.
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True).clamp(min=1.0) * context
    return torch.cat([center - side / 2, center + side / 2], dim=1)


def crop_with_masks(
    image: Tensor, masks: Tensor, boxes: Tensor, crops: Tensor, size: int
) -> Tensor:
    """Crop an image around each object, with the mask of the object as an additional channel.

    Args:
        image: (C, H, W).
        masks: (N, m, m) soft masks that fill ``boxes``.
        boxes: (N, 4) XYXY in pixels of the image.
        crops: (N, 4) XYXY regions to crop, in pixels of the image; they may exceed the image.
        size: side P of the output.

    Returns:
        (N, C+1, P, P), zero outside of the image. Crops larger than P pixels are averaged.
    """
    patches = roi_align(image[None], [crops], size, aligned=True)
    cells_per_pixel = size / (crops[:, 2:] - crops[:, :2]).repeat(1, 2)
    boxes_in_crop = (boxes - crops[:, :2].repeat(1, 2)) * cells_per_pixel
    # Float16 is too coarse for coordinates in a large crop.
    mask_channel = paste_masks(masks.float(), boxes_in_crop, size, size)
    return torch.cat([patches, mask_channel[:, None]], dim=1)
