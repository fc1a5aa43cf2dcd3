"""
The typed records that cross rooms. Nothing here needs Detectron2.

Shape shorthand, used in every docstring of this package:

    L, T    frames in the video; clip radius: a clip has 2T+1 frames, fewer at the ends
    H, W    frame size in pixels
    h, w    the propagation grid: the frame at the stride of one pyramid level (stride 8 for P3)
    N       instances detected in one frame (may be 0)
    S       target frames of one propagation
    K       categories; class scores have K+1 columns, the last is background
    C, D    channels of the pyramid level; channels of the mask classifier
    m       side of the mask head's output (28), or of refined masks

A frame index is called t, a target frame s = t + delta. Soft masks are float in [0, 1]; binary
masks are bool. Boxes are XYXY in pixels of the network's input unless a name says ``_video``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    # Rooms that know no tensors, like evaluation, start without loading torch.
    from torch import Tensor

RLE = dict[str, Any]
"""COCO's compressed run-length encoding: ``{"size": [H, W], "counts": str}``."""

IGNORED = 255
"""In maps of semantic classes, a pixel that nothing is known of."""


@dataclass
class FrameOutput:
    """What a frame network gives for one frame: its detections, and small maps for propagation.

    Attributes:
        boxes_video: (N, 4) boxes in pixels of the video frame.
        scores: (N,) detection scores in [0, 1], the score of the detected category.
        class_scores: (N, K+1) softmax vectors.
        box_masks: (N, m, m) soft masks that fill ``mask_boxes_video``.
        grid_masks: (N, h, w) the masks, before they are refined, pasted onto the propagation grid.
        grid_box_video: (4,) the box, in pixels of the video frame, that the grid covers.
        maps: what the network's ``propagate``, and its ``mask_propagator`` if it has one, need of
            this frame, by name, each (channels, h, w).
        crops_video: (N, 4) the crops, larger than the boxes, in which masks were refined, or None.
        embeddings: (N, E) vectors whose dot product tells whether two detections show one object;
            None from a network that has not learnt them.
        crop_scores: (N, K) softmax vectors of a classifier that looks at crops of the frame alone;
            None from a network without one.
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
    def mask_boxes_video(self) -> Tensor:
        """(N, 4) the boxes that ``box_masks`` fill, in pixels of the video frame."""
        return self.boxes_video if self.crops_video is None else self.crops_video


@dataclass
class Frame:
    """One frame of a video and what the network gives for it: all that a tracking method sees.

    Attributes:
        index: frame index t.
        image: (H, W, 3) uint8 RGB.
        output: the detections and feature maps.
    """

    index: int
    image: np.ndarray
    output: FrameOutput


@dataclass
class ClipTracks:
    """The clip-level instance tracks around one frame (Sec. 4.1 of the paper).

    Attributes:
        center: frame index t of the clip's centre, whose N detections are tracked.
        start: frame index of the first mask; the clip covers ``start .. start + len(masks) - 1``.
        masks: (S, N, h, w) soft masks; at ``center - start`` those of the detector itself.
        class_scores: (N, K+1) softmax vectors of the detections.
    """

    center: int
    start: int
    masks: Tensor
    class_scores: Tensor

    @property
    def frames(self) -> range:
        """The frame indices that the clip covers."""
        return range(self.start, self.start + len(self.masks))


@dataclass
class TrackedFrame:
    """What a tracking method says of one frame.

    Attributes:
        index: frame index t.
        ids: video-level ids, from 0, of its N detections.
        clip: their masks in the frames around; None where the method propagates no masks.
        class_scores: (N, K+1) vectors that count for the tracks' categories and scores; None where
            they are the detector's.
    """

    index: int
    ids: list[int]
    clip: ClipTracks | None = None
    class_scores: Tensor | None = None


@dataclass
class FrameResult:
    """One finished frame of a video.

    Attributes:
        index: frame index t.
        frame: (H, W, 3) uint8 RGB, the frame itself, for drawing.
        track_ids: ids of the objects seen in this frame, from 0.
        labels: category index in 0..K-1 of each object, as known by now: it may change later.
        scores: score in [0, 1] of each object, as known by now.
        masks: one RLE of the frame's size for each object.
    """

    index: int
    frame: np.ndarray
    track_ids: list[int]
    labels: list[int]
    scores: list[float]
    masks: list[RLE]


@dataclass
class VideoTrack:
    """One video-level track, for one category.

    Attributes:
        track_id: its id.
        label: category index in 0..K-1.
        score: in [0, 1].
        masks: L entries, an RLE or None where the object is not seen.
    """

    track_id: int
    label: int
    score: float
    masks: list[RLE | None]


@dataclass
class VideoTracks:
    """The video-level tracks of one video; ``as_dict`` is the model's output for a video.

    A track may stand several times, once for each category that is reported for it.

    Attributes:
        image_size: (H, W).
        pred_scores: score in [0, 1] of each track.
        pred_labels: category index in 0..K-1 of each track.
        pred_masks: for each track L entries, an RLE or None where the object is not seen.
        track_ids: id of each track.
    """

    image_size: tuple[int, int]
    pred_scores: list[float]
    pred_labels: list[int]
    pred_masks: list[list[RLE | None]]
    track_ids: list[int]

    def as_dict(self) -> dict[str, Any]:
        """The record as a plain dict."""
        return dict(self.__dict__)
