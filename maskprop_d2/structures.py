"""
The records that are passed between packages. They do not depend on Detectron2.

Shapes in all docstrings of this package:

    L, T    frames in the video; clip radius: a clip has 2T+1 frames, fewer at the ends of the video
    H, W    frame size in pixels
    h, w    the propagation grid: the frame at the stride of one pyramid level (8 for P3)
    N       instances detected in one frame (may be 0)
    S       target frames of a propagation
    K       categories; class scores have K+1 columns, the last is background
    C, D    channels of the pyramid level; channels of the mask classifier
    m       side of the mask head's output (28), or of refined masks

A frame index is t, a target frame s = t + delta. Soft masks are float in [0, 1]; binary masks are
bool. Boxes are XYXY in pixels of the network's input unless their name ends in ``_video``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    import supervision

    # Packages without tensors, such as evaluation, start faster without torch.
    from torch import Tensor

RLE = dict[str, Any]
"""COCO's compressed run-length encoding: ``{"size": [H, W], "counts": str}``."""

IGNORED = 255
"""Label of ignored pixels in semantic maps."""


@dataclass
class Detections:
    """The detections of any image segmentation model in one frame.

    Attributes:
        masks: (N, H, W) bool.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64 category indices in 0..K-1.
    """

    masks: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class FrameOutput:
    """The output of a network for one frame: its detections, and feature maps for tracking.

    Attributes:
        boxes_video: (N, 4) boxes in pixels of the video frame.
        scores: (N,) detection scores in [0, 1], of the detected categories.
        class_scores: (N, K+1) softmax vectors.
        box_masks: (N, m, m) soft masks that fill ``mask_boxes_video``. In ``link``, (N, H, W) bool
            masks of the whole frame, on the CPU.
        grid_masks: (N, h, w) masks on the propagation grid, from before their refinement.
        grid_box_video: (4,) box, in pixels of the video frame, that the grid covers.
        maps: (channels, h, w) maps by name, for propagation from and to this frame.
        crops_video: (N, 4) crops, larger than the boxes, in which masks were refined; or None.
        embeddings: (N, E) appearance vectors, whose dot product is high for detections of one
            object; None from a network without an embedding head.
        crop_scores: (N, K) softmax vectors from image crops alone; None from a network without a
            crop classifier.
    """

    boxes_video: Tensor
    scores: Tensor
    class_scores: Tensor
    box_masks: Tensor
    grid_masks: Tensor
    grid_box_video: Tensor
    maps: dict[str, Tensor] = field(default_factory=dict)
    crops_video: Tensor | None = None
    embeddings: Tensor | None = None
    crop_scores: Tensor | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def labels(self) -> Tensor:
        """(N,) the most probable category of each detection."""
        return self.class_scores[:, :-1].argmax(1)

    @property
    def detected_labels(self) -> Tensor:
        """(N,) the category that each detection passed NMS for, which its score is of."""
        return detected_labels(self.scores, self.class_scores)

    @property
    def mask_boxes_video(self) -> Tensor:
        """(N, 4) the boxes that ``box_masks`` fill, in pixels of the video frame."""
        return self.boxes_video if self.crops_video is None else self.crops_video


def detected_labels(scores: Tensor, class_scores: Tensor) -> Tensor:
    """The categories that detections passed NMS for.

    Args:
        scores: (N,) of these categories.
        class_scores: (N, K+1) softmax vectors. NMS is done for each category: detections of other
            categories may have the same box, and then the same vector.
    """
    return (class_scores[:, :-1] - scores[:, None]).abs().argmin(1)


@dataclass
class Frame:
    """The input of a tracking method: one frame and the output of the network for it.

    Attributes:
        index: frame index t.
        image: (H, W, 3) uint8 RGB.
        output: detections and feature maps.
    """

    index: int
    image: np.ndarray
    output: FrameOutput


@dataclass
class ClipTracks:
    """The clip-level instance tracks around one frame (Sec. 4.1 of the paper).

    Attributes:
        center: frame index t of the clip's centre, whose N detections are propagated.
        start: frame index of the first mask.
        masks: (S, N, h, w) soft masks in the frames from ``start`` on; those in the centre are the
            detector's.
        class_scores: (N, K+1) softmax vectors of the detections.
        appearance: (N, E) unit vectors that describe what the detections look like, or None.
    """

    center: int
    start: int
    masks: Tensor
    class_scores: Tensor
    appearance: Tensor | None = None

    @property
    def frames(self) -> range:
        """The frame indices that the clip covers."""
        return range(self.start, self.start + len(self.masks))


@dataclass
class TrackedFrame:
    """The output of a tracking method for one frame.

    Attributes:
        index: frame index t.
        ids: video-level ids, from 0, of its N detections; None for those that are dropped.
        clip: the masks of the detections in the frames around; None if the method has none.
        class_scores: (N, K+1) class scores that replace the detector's; None to keep those.
        filled: soft masks, (h, w) on any grid with the box of the frame's own, of objects that were
            not detected, by their ids.
    """

    index: int
    ids: Sequence[int | None]
    clip: ClipTracks | None = None
    class_scores: Tensor | None = None
    filled: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class FrameResult:
    """One finished frame of a video.

    Attributes:
        index: frame index t.
        frame: (H, W, 3) uint8 RGB, the frame itself, for drawing.
        track_ids: ids, from 0, of the objects in this frame.
        labels: category index in 0..K-1 of each object so far; it may change in later frames.
        scores: score in [0, 1] of each object so far.
        masks: one RLE of the frame's size for each object.
        class_names: names of the K categories, or None if the model does not know them.
    """

    index: int
    frame: np.ndarray
    track_ids: list[int]
    labels: list[int]
    scores: list[float]
    masks: list[RLE]
    class_names: Sequence[str] | None = None

    def to_supervision(self) -> supervision.Detections:
        """The objects as ``supervision.Detections`` with ``mask``, ``xyxy``, ``confidence``,
        ``class_id`` and ``tracker_id``, and if the names are known ``data["class_name"]``.

        Raises:
            InputError: if the package supervision is not installed, or a label has no name.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            raise InputError(
                "to_supervision() needs the package supervision: pip install supervision"
            ) from error
        # Not at the top: RLEs are defined here.
        from .ops.rle import decode

        masks = np.zeros((len(self.masks), *self.frame.shape[:2]), bool)
        for mask, rle in zip(masks, self.masks, strict=True):
            mask[:] = decode(rle)
        data: dict[str, Any] = {}
        if self.class_names is not None:
            if max(self.labels, default=-1) >= len(self.class_names):
                raise InputError(
                    f"there are {len(self.class_names)} class names, but a label {max(self.labels)}"
                )
            data["class_name"] = np.array([self.class_names[x] for x in self.labels], str)
        return supervision.Detections(
            xyxy=supervision.mask_to_xyxy(masks).astype(np.float32),
            mask=masks,
            confidence=np.array(self.scores, np.float32),
            class_id=np.array(self.labels, int),
            tracker_id=np.array(self.track_ids, int),
            data=data,
        )


@dataclass
class VideoTrack:
    """One video-level track with one category.

    Attributes:
        track_id: its id.
        label: category index in 0..K-1.
        score: in [0, 1].
        masks: L entries, an RLE or None for a frame without the object.
        parent_id: id of the track that divided into this one and others, or None.
    """

    track_id: int
    label: int
    score: float
    masks: list[RLE | None]
    parent_id: int | None = None


@dataclass
class VideoTracks:
    """The video-level tracks of one video.

    A track may occur several times, with a different category each time.

    Attributes:
        image_size: (H, W).
        pred_scores: score in [0, 1] of each track.
        pred_labels: category index in 0..K-1 of each track.
        pred_masks: for each track L entries, an RLE or None for a frame without the object.
        track_ids: id of each track.
        parent_ids: for each track the id of the track that divided into it and others, or None.
    """

    image_size: tuple[int, int]
    pred_scores: list[float]
    pred_labels: list[int]
    pred_masks: list[list[RLE | None]]
    track_ids: list[int]
    parent_ids: list[int | None]

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict, the output of the meta-architecture for a video."""
        return dict(self.__dict__)
