"""Ground truth of propagation, on the grid of its pyramid level."""

from detectron2.structures import BitMasks, Instances
from torch import Tensor
from torch.nn import functional as F


def on_grid(masks: BitMasks, grid: tuple[int, int], stride: int) -> Tensor:
    """The covered share of each cell.

    Args:
        masks: N masks of an image without padding.
        grid: h, w of the grid, over the padded image.
        stride: side of its cells in pixels.

    Returns:
        (N, h, w) in [0, 1].
    """
    height, width = masks.tensor.shape[-2:]
    padding = (0, grid[1] * stride - width, 0, grid[0] * stride - height)
    return F.avg_pool2d(F.pad(masks.tensor[:, None].float(), padding), stride)[:, 0]


def masks_of(objects: Instances, frame: Instances, grid: tuple[int, int], stride: int) -> Tensor:
    """The masks that objects of one frame have in another of the same clip.

    Args:
        objects: N objects of the one, with ``gt_ids``.
        frame: all objects of the other, with ``gt_ids`` and ``gt_masks``.
        grid, stride: see :func:`on_grid`.

    Returns:
        (N, h, w) in [0, 1]; empty ones of objects that cannot be seen there.
    """
    masks = on_grid(frame.gt_masks, grid, stride)
    found = masks.new_zeros(len(objects), *grid)
    wanted, seen = (objects.gt_ids[:, None] == frame.gt_ids).nonzero(as_tuple=True)
    found[wanted] = masks[seen]
    return found
