"""What is known of the tracks of one video: scores and finished masks."""

import numpy as np
import torch
from torch import Tensor

from ..structures import RLE, FrameResult, VideoTracks
from .video import VideoError


class TrackBook:
    """Collects scores and masks of a video's tracks, frame by frame.

    Attributes:
        frame_size: (H, W), None before the first frame.
    """

    def __init__(self) -> None:
        self.frame_size: tuple[int, int] | None = None
        self._score_sums: dict[int, Tensor] = {}
        self._num_scores: dict[int, int] = {}
        self._masks: list[dict[int, RLE]] = []

    def add_scores(self, ids: list[int], class_scores: Tensor) -> None:
        """Add the detections of one frame: their ids, and (N, K+1) their softmax vectors."""
        for track_id, scores in zip(ids, class_scores[:, :-1].cpu(), strict=True):
            self._score_sums[track_id] = self._score_sums.get(track_id, 0) + scores
            self._num_scores[track_id] = self._num_scores.get(track_id, 0) + 1

    def add_frame(self, frame: np.ndarray, masks: dict[int, RLE]) -> FrameResult:
        """Add the final masks of the next frame, by track id.

        Args:
            frame: (H, W, 3) uint8 RGB.
            masks: RLEs of the frame's size, of the tracks that are seen in it.
        """
        self._masks.append(masks)
        best = [self.class_scores(track_id).max(0) for track_id in masks]
        return FrameResult(
            index=len(self._masks) - 1,
            frame=frame,
            track_ids=list(masks),
            labels=[int(x.indices) for x in best],
            scores=[float(x.values) for x in best],
            masks=list(masks.values()),
        )

    def class_scores(self, track_id: int) -> Tensor:
        """(K,) the track's score for each category: the mean over its detections (Sec. 4.3)."""
        return self._score_sums[track_id] / self._num_scores[track_id]

    def tracks(
        self, class_floor: float, track_score: str, num_frames: int | None = None
    ) -> VideoTracks:
        """The tracks that are seen at least once, for their best category and for each further
        one scored at least ``class_floor``; of the first ``num_frames`` frames, or of all. See
        ``VideoSegmenter`` for ``track_score``.

        Raises:
            VideoError: before the first frame.
        """
        if self.frame_size is None:
            raise VideoError("the video has no frame")
        video = VideoTracks(self.frame_size, [], [], [], [])
        frames = self._masks[:num_frames]
        for track_id in sorted({y for masks in frames for y in masks}):
            scores = self.class_scores(track_id)
            wanted = scores >= class_floor
            wanted[scores.argmax()] = True
            track_masks = [masks.get(track_id) for masks in frames]
            if track_score == "video":
                seen = sum(mask is not None for mask in track_masks)
                scores = scores * (seen / len(frames))
            for label in torch.nonzero(wanted)[:, 0].tolist():
                video.track_ids.append(track_id)
                video.pred_labels.append(label)
                video.pred_scores.append(float(scores[label]))
                video.pred_masks.append(track_masks)
        return video
