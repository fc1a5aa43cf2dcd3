"""The interface of image detectors, whose masks are linked."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
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

    @torch.inference_mode()
    def detect(self, frames: Iterable[Tensor]) -> list[Detections]:
        """Detect in frames of any sizes, (3, H, W) uint8 RGB each, that do not influence each
        other.

        Frames that have the same size after resizing are one batch. Others are not padded to a
        common size: what is found near the padding would depend on the other frames.
        """
        batches: dict[torch.Size, list[int]] = {}
        images, frame_sizes = [], []
        for index, frame in enumerate(frames):
            images.append(self.prepare(frame))
            frame_sizes.append((frame.shape[1], frame.shape[2]))
            batches.setdefault(images[-1].shape, []).append(index)
        found: dict[int, Detections] = {}
        for indices in batches.values():
            batch = torch.stack([images[i] for i in indices])
            detections = self.detect_batch(batch, [frame_sizes[i] for i in indices])
            found.update(zip(indices, detections, strict=True))
        return [found[i] for i in range(len(images))]

    @abstractmethod
    def prepare(self, frame: Tensor) -> Tensor:
        """Resize a frame, (3, H, W) uint8 RGB, for the network: (3, h, w) float, on ``device``."""

    @abstractmethod
    def detect_batch(
        self, images: Tensor, frame_sizes: Sequence[tuple[int, int]]
    ) -> Iterable[Detections]:
        """Detect in B frames.

        Args:
            images: (B, 3, h, w) from ``prepare``.
            frame_sizes: (H, W) of each frame, which is that of its masks.
        """


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
