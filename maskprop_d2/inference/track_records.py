"""The scores and finished masks of the tracks of one video."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ..structures import RLE, FrameResult, VideoTrack
from .mask_store import MaskStore


class TrackRecords:
    """Collects the scores and masks of a video's tracks, frame by frame."""

    def __init__(self, class_names: Sequence[str] | None = None) -> None:
        """``class_names``: names of the K categories, for the finished frames."""
        self._class_names = class_names
        self._score_sums: dict[int, Tensor] = {}
        self._num_scores: dict[int, int] = {}
        self._masks = MaskStore()

    def add_scores(self, ids: Sequence[int | None], class_scores: Tensor) -> None:
        """Add the detections of one frame: their N ids, or None, and (N, K+1) softmax vectors."""
        for track_id, scores in zip(ids, class_scores[:, :-1].cpu(), strict=True):
            if track_id is None:
                continue
            self._score_sums[track_id] = self._score_sums.get(track_id, 0) + scores
            self._num_scores[track_id] = self._num_scores.get(track_id, 0) + 1

    def add_frame(self, frame: np.ndarray, masks: dict[int, RLE]) -> FrameResult:
        """Add the final masks of the next frame.

        Args:
            frame: (H, W, 3) uint8 RGB.
            masks: RLEs of the frame's size by the ids of the tracks that are seen in it.
        """
        self._masks.add_frame(masks)
        best = [self.class_scores(track_id).max(0) for track_id in masks]
        return FrameResult(
            index=self._masks.num_frames - 1,
            frame=frame,
            track_ids=list(masks),
            labels=[int(x.indices) for x in best],
            scores=[float(x.values) for x in best],
            masks=list(masks.values()),
            class_names=self._class_names,
        )

    def class_scores(self, track_id: int) -> Tensor:
        """(K,) class scores of a track, the mean over its detections (Sec. 4.3)."""
        return self._score_sums[track_id] / self._num_scores[track_id]

    def tracks(
        self, class_floor: float, track_score: str, num_frames: int | None = None
    ) -> Iterator[VideoTrack]:
        """The tracks with at least one mask in the first ``num_frames`` frames (default: in all).

        For ``class_floor`` and ``track_score`` see ``VideoSegmenter``.
        """
        if num_frames is None:
            num_frames = self._masks.num_frames
        for track_id in self._masks.track_ids():
            masks = self._masks.track(track_id, num_frames)
            num_seen = sum(mask is not None for mask in masks)
            if not num_seen:
                continue
            scores = self.class_scores(track_id)
            reported = scores >= class_floor
            reported[scores.argmax()] = True
            if track_score == "video":
                scores = scores * (num_seen / num_frames)
            for label in torch.nonzero(reported)[:, 0].tolist():
                yield VideoTrack(track_id, label, float(scores[label]), masks)
