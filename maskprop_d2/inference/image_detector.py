"""The interface of image detectors, whose masks are linked."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, WeightsFileError
from ..structures import Detections

SHORT_SIDE, MAX_SIDE = 800, 1333
"""Input size in pixels that the weights of Detectron2 and torchvision were trained for."""


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


def check_complete(path: str | Path, missing: Sequence[str]) -> None:
    """Refuse weights that leave a model partly random: it would find nothing, or nonsense.

    Raises:
        WeightsFileError: if the names of ``missing`` weights are not empty.
    """
    if missing:
        raise WeightsFileError(
            path, f"it lacks {len(missing)} weights of the model, such as {missing[0]}"
        )


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
            raise InputError(f"there is no category '{name}': choose from {', '.join(close)}")
    return sorted({known[name.lower()] for name in wanted})
