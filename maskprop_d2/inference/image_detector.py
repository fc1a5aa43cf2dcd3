"""What linking needs of an image segmentation model."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from ..structures import Detections


class ImageDetector(ABC):
    """Detects objects in single frames.

    Attributes:
        class_names: names of the K categories.
        device: where it runs.
    """

    class_names: list[str]
    device: torch.device

    @abstractmethod
    def detect(self, frames: Tensor) -> list[Detections]:
        """Detect in B frames, (B, 3, H, W) uint8 RGB, that do not influence each other."""


def category_indices(class_names: Sequence[str], wanted: Sequence[str] | None) -> list[int]:
    """The indices of categories, from their names in upper or lower case; all if None.

    Raises:
        InputError: for a name that the model does not know.
    """
    if wanted is None:
        return list(range(len(class_names)))
    known = {name.lower(): index for index, name in enumerate(class_names)}
    for name in wanted:
        if name.lower() not in known:
            close = difflib.get_close_matches(name.lower(), known, n=3) or list(known)
            raise InputError(f"the model has no category '{name}': it has {', '.join(close)}")
    return sorted({known[name.lower()] for name in wanted})
