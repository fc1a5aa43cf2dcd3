"""Linking the detections in a file or folder, as other programs save them."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..detections import CocoDetections, IdMaskFolder
from ..errors import InputError
from ..structures import Detections
from ..video import FrameFiles, VideoFile
from ..ytvis.categories import COCO
from .image_detector import category_indices
from .linking import build_linker
from .stream import VideoStream


def open_detections(
    path: Path, video: VideoFile | FrameFiles, class_names: Sequence[str] | None = None
) -> CocoDetections | IdMaskFolder:
    """Open a file in COCO's formats, or a folder of id masks.

    Args:
        path: the file or folder.
        video: the whole video, not an excerpt.
        class_names: names of the categories (default: those in the file, or COCO's).

    Raises:
        InputError: if it cannot be used, or ``class_names`` are given for a folder.
    """
    if path.is_dir():
        if class_names:
            raise InputError(f"{path} holds id masks, which have no categories to name")
        return IdMaskFolder(path, video)
    return CocoDetections(path, video, list(class_names) if class_names else None)


def link_saved_detections(
    detections: CocoDetections | IdMaskFolder,
    source: VideoFile | FrameFiles,
    stride: int = 1,
    *,
    tracker: str = "maskprop",
    categories: Sequence[str] | None = None,
    min_score: float = 0.0,
) -> VideoStream:
    """Link the detections in a video.

    Args:
        detections: from ``open_detections``.
        source: the video, or an excerpt of it.
        stride: that of the excerpt.
        tracker: as for ``link``.
        categories: names of the categories to track (default: all).
        min_score: drop detections scored below this.

    Raises:
        InputError: for an unknown tracking method or category.
    """
    labels = _select_labels(list(detections.class_names), categories)
    indices = itertools.count(source.first_index, stride)

    def take(frames: Sequence[Tensor]) -> list[Detections]:
        # A video file may have fewer frames than its header says, so that ``link``, which wants as
        # many detections as frames, would not do.
        return [_select(detections.frame(next(indices)), labels, min_score) for _ in frames]

    linker = build_linker(take, tracker=tracker, class_names=detections.class_names)
    return linker.stream(source)


def _select_labels(class_names: list[str], wanted: Sequence[str] | None) -> list[int]:
    """The labels of some categories. A name of COCO is right even if there is no such detection."""
    found = {name.lower() for name in class_names}
    others = [name for name in COCO.values() if name not in found]
    labels = category_indices([*class_names, *others], wanted)
    return [label for label in labels if label < len(class_names)]


def _select(found: Detections, labels: list[int], min_score: float) -> Detections:
    """The detections of a frame to link."""
    kept = np.isin(found.labels, labels) & (found.scores >= min_score)
    return Detections(found.masks[kept], found.scores[kept], found.labels[kept])
