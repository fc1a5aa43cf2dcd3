"""Carrying given masks through a video with the generic propagation network."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ..errors import InputError
from ..networks.propagation_memory import PropagationMemory
from .generic import FrameGrid, load_generic_propagation


def propagate(
    frames: Iterable[np.ndarray], masks: np.ndarray, source: int = 0, *, device: str = "cpu"
) -> np.ndarray:
    """Propagate masks of one frame to all frames of a clip.

    >>> propagate(frames, masks)[5] > 0.5  # The objects in frame 5.

    Args:
        frames: L arrays (H, W, 3) uint8 RGB, or a ``VideoFile``; all are read into memory.
        masks: (N, H, W) masks of N objects in one frame, bool or in [0, 1].
        source: index of that frame.
        device: where to run.

    Returns:
        (L, N, H, W) float32 soft masks; those of the source are the given ones.

    Raises:
        InputError: for arrays of other shapes or types, or a source that is not in the clip.
    """
    frames = list(frames)
    if not 0 <= source < len(frames):
        raise InputError(f"source must be one of the {len(frames)} frames, not {source}")
    later = list(propagate_stream(frames[source:], masks, device=device))
    earlier = list(propagate_stream(frames[source::-1], masks, device=device))[:0:-1]
    return np.stack(earlier + later)


@torch.inference_mode()
def propagate_stream(
    frames: Iterable[np.ndarray], masks: np.ndarray, *, device: str = "cpu"
) -> Iterator[np.ndarray]:
    """Propagate masks of the first frame of a video; memory is constant.

    Args:
        frames: (H, W, 3) uint8 RGB arrays of one size, read one at a time.
        masks: (N, H, W) masks of N objects in the first frame, bool or in [0, 1].
        device: where to run.

    Yields:
        (N, H, W) float32 soft masks in each frame, beginning with the given ones.

    Raises:
        InputError: for arrays of other shapes or types.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or (masks.size and not (masks.min() >= 0 and masks.max() <= 1)):
        raise InputError(
            f"masks must be an (N, H, W) array with values from 0 to 1, not {masks.dtype} of shape "
            f"{masks.shape}"
        )
    grid = FrameGrid(*masks.shape[1:], fine=True)
    network = load_generic_propagation(device)
    memory = PropagationMemory(network, keep_first=True)
    for index, image in enumerate(frames):
        if image.dtype != np.uint8 or image.shape != (*masks.shape[1:], 3):
            raise InputError(
                f"frame {index} is a {image.dtype} array of shape {image.shape}: all frames must "
                f"be uint8 RGB and of the masks' size, {masks.shape[1:]}"
            )
        if not len(masks):
            yield masks.astype(np.float32)
            continue
        frame = grid.encode(network, image)
        soft = memory.propagate(frame, index) if index else grid.shrink_masks(masks).to(device)
        memory.add(frame, index, soft)
        yield grid.enlarge_masks(soft).cpu().numpy() if index else masks.astype(np.float32)
