"""Linking the masks of any detector into tracks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..detections import as_detections
from ..detections.conversion import MAX_CATEGORIES
from ..errors import InputError, MissingWeightsError
from ..ops.masks import suppress
from ..ops.soft_iou import pairwise_containment, pairwise_soft_iou
from ..structures import Detections, FrameOutput, FrameResult
from ..tracking import LINKING_TRACKERS, FrameNetwork, MaskPropagator
from .generic import FrameGrid, load_generic_propagation
from .image_detector import ImageDetector
from .segmenter import VideoSegmenter
from .stream import VideoStream

DEFAULT_TRACKER = "maskprop"
DUPLICATE_THRESHOLD = 0.6
"""Of two detections with a greater mask IoU, only the one with the higher score is linked."""
PART_THRESHOLD = 0.7
"""Of two detections of one category, only the one with the higher score is linked if more than this
fraction of the smaller one lies in the other: detectors often find a part of an object again."""


def link(
    frames: Iterable[np.ndarray],
    detections: Iterable[Any],
    *,
    tracker: str = DEFAULT_TRACKER,
    class_names: Sequence[str] | None = None,
    device: str = "cpu",
    **options: Any,
) -> VideoStream:
    """Link the detections of a video's frames into tracks.

    >>> for result in link(frames, detections):
    ...     print(result.index, result.track_ids)

    Args:
        frames: (H, W, 3) uint8 RGB arrays of one size, read one at a time.
        detections: what was found in each frame, read one at a time: anything that
            ``as_detections`` takes.
        tracker: a tracking method that needs no training. "maskprop" propagates masks with the
            network that comes with the package; the others are those of ``LINKING_TRACKERS``.
        class_names: names of the categories, for ``FrameResult``.
        device: where to run.
        **options: options of the tracking method.

    Returns:
        an iterator over the finished frames, in order; call its ``tracks`` at the end.

    Raises:
        InputError: for an unknown method or option, or a wrong value; while iterating, for frames
            or detections that cannot be used, or if their numbers differ.
    """
    if isinstance(frames, str | Path):
        raise InputError(f"frames must be arrays, not a path: pass VideoFile({str(frames)!r})")
    given = _GivenDetections(detections)
    segmenter = build_linker(
        given.take, tracker=tracker, class_names=class_names, device=device, **options
    )
    return _LinkedStream(segmenter, frames, given)


class _GivenDetections:
    """Detections that were made before, taken in the order of the frames."""

    def __init__(self, detections: Iterable[Any]):
        self._remaining = iter(detections)
        self._count = 0

    def take(self, frames: Sequence[Tensor]) -> list[Detections]:
        """The detections of the next frames, (3, H, W) each."""
        return [self._next((frame.shape[1], frame.shape[2])) for frame in frames]

    def _next(self, image_size: tuple[int, int]) -> Detections:
        try:
            found = next(self._remaining)
        except StopIteration:
            raise InputError(f"there are no detections for frame {self._count}") from None
        try:
            converted = as_detections(found, image_size)
        except InputError as error:
            raise InputError(f"frame {self._count}: {error}") from error
        self._count += 1
        return converted

    def check_finished(self) -> None:
        """Check that no detections are left.

        Raises:
            InputError: if there are detections for another frame.
        """
        if next(self._remaining, None) is not None:
            raise InputError(f"there are more detections than frames, which are {self._count}")


class _LinkedStream(VideoStream):
    def __init__(
        self, segmenter: VideoSegmenter, frames: Iterable[np.ndarray], given: _GivenDetections
    ):
        super().__init__(segmenter, frames)
        self._given = given

    def _run(self, frames: Iterable[np.ndarray]) -> Iterator[FrameResult]:
        yield from super()._run(frames)
        self._given.check_finished()


def build_linker(
    detect: Callable[[Sequence[Tensor]], list[Detections]],
    *,
    tracker: str = DEFAULT_TRACKER,
    class_names: Sequence[str] | None = None,
    device: str = "cpu",
    frames_per_batch: int = 1,
    **options: Any,
) -> VideoSegmenter:
    """A segmenter that links what a function detects in frames, (3, H, W) uint8 RGB each.

    The other arguments are those of ``link`` and ``VideoSegmenter``.

    Raises:
        InputError: for an unknown method or option, or a wrong value.
    """
    network_class = GenericLinkingNetwork if tracker == "maskprop" else LinkingNetwork
    network = network_class(detect, device)
    network.class_names = class_names
    chosen = {"name": tracker, "trackers": LINKING_TRACKERS, **options}
    return VideoSegmenter.from_options(network, tracker=chosen, frames_per_batch=frames_per_batch)


def link_detector(detector: ImageDetector, tracker: str = DEFAULT_TRACKER) -> VideoSegmenter:
    """A segmenter that links what a detector finds; ``tracker`` is that of ``link``.

    Raises:
        InputError: for an unknown method.
    """
    return build_linker(
        detector.detect,
        tracker=tracker,
        class_names=detector.class_names,
        device=str(detector.device),
    )


class LinkingNetwork(FrameNetwork):
    """A frame network around the detections of any detector.

    Attributes:
        class_names: names of the categories, if they are known.
        device: where tensors are.
    """

    class_names: Sequence[str] | None = None

    def __init__(self, detect: Callable[[Sequence[Tensor]], list[Detections]], device: str):
        """
        Args:
            detect: called for the batches of a video's frames, in order, or for one frame each of
                several videos.
            device: where tensors are.
        """
        self._detect = detect
        self.device = torch.device(device)

    def detect(self, frames: Iterable[Tensor]) -> list[FrameOutput]:
        """Detect in frames, (3, H, W) uint8 RGB each, of one video or of several."""
        frames = list(frames)
        return [
            self._output(FrameGrid(*frame.shape[1:], fine=False), frame, found)
            for frame, found in zip(frames, self._detect(frames), strict=True)
        ]

    def _output(self, grid: FrameGrid, frame: Tensor, found: Detections) -> FrameOutput:
        height, width = grid.image_size
        grid_masks = grid.shrink_masks(found.masks)
        scores, labels = torch.from_numpy(found.scores), torch.from_numpy(found.labels)
        keep = suppress(_show_the_same(grid_masks.flatten(1), labels), scores)
        scores, labels = scores[keep], labels[keep]
        class_scores = torch.zeros(len(keep), MAX_CATEGORIES + 1)
        class_scores[torch.arange(len(keep)), labels] = scores
        class_scores[:, -1] = 1 - scores
        masks = found.masks[keep.numpy()]
        whole = torch.tensor([[0.0, 0.0, width, height]], device=self.device)
        return FrameOutput(
            boxes_video=mask_boxes(masks).to(self.device),
            scores=scores.to(self.device),
            class_scores=class_scores.to(self.device),
            # Encoded on the CPU, and not needed before.
            box_masks=torch.from_numpy(masks),
            grid_masks=grid_masks[keep].to(self.device),
            grid_box_video=torch.tensor([0.0, 0.0, *grid.box], device=self.device),
            maps=self.maps(grid, frame.permute(1, 2, 0).numpy()),
            crops_video=whole.expand(len(keep), -1),
        )

    def maps(self, grid: FrameGrid, image: np.ndarray) -> dict[str, Tensor]:
        """What the tracking method needs of a frame besides its detections."""
        return {}

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        raise NotImplementedError("given detections come without a propagation branch")

    def mask_propagator(self, method: str) -> MaskPropagator:
        raise MissingWeightsError(method, "linking of given detections")


class GenericLinkingNetwork(LinkingNetwork):
    """A ``LinkingNetwork`` that also encodes frames with the generic propagation network."""

    def __init__(self, detect: Callable[[Sequence[Tensor]], list[Detections]], device: str):
        super().__init__(detect, device)
        self.generic = load_generic_propagation(device)

    def maps(self, grid: FrameGrid, image: np.ndarray) -> dict[str, Tensor]:
        return vars(grid.encode(self.generic, image))


def _show_the_same(masks: Tensor, labels: Tensor) -> Tensor:
    """(N, N) bool: which of N masks, (N, P), show the same object, or a part of it."""
    duplicates = pairwise_soft_iou(masks, masks) > DUPLICATE_THRESHOLD
    parts = pairwise_containment(masks, masks) > PART_THRESHOLD
    return duplicates | (parts & (labels[:, None] == labels))


def mask_boxes(masks: np.ndarray) -> Tensor:
    """(N, H, W) bool masks -> (N, 4) boxes around them; zeros for an empty mask."""
    boxes = torch.tensor([cv2.boundingRect(x.view(np.uint8)) for x in masks], dtype=torch.float32)
    boxes = boxes.reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
