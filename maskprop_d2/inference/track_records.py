"""The scores and finished masks of the tracks of one video."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..structures import RLE, FrameResult, VideoTrack
from .mask_store import MaskStore


@dataclass
class TrackScores:
    """The scores of a track's detections so far."""

    class_scores: Tensor  # (K,) their sum.
    votes: Counter[int]  # Numbers of detections by their best category.
    best_scores: float  # Sum of the scores of the best categories.

    @property
    def mean_class_scores(self) -> Tensor:
        """(K,) mean over the detections (Sec. 4.3)."""
        return self.class_scores / self.votes.total()

    def best(self, track_score: str) -> tuple[int, float]:
        """The category and its score; for ``track_score`` see ``VideoSegmenter``."""
        if track_score == "majority":
            most_frequent = min(self.votes, key=lambda x: (-self.votes[x], x))
            return most_frequent, self.best_scores / self.votes.total()
        score, label = self.mean_class_scores.max(0)
        return int(label), float(score)


class TrackRecords:
    """Collects the scores and masks of a video's tracks, frame by frame."""

    def __init__(self, class_names: Sequence[str] | None = None, track_score: str = "detections"):
        """
        Args:
            class_names: names of the K categories, for the finished frames.
            track_score: see ``VideoSegmenter``.
        """
        self._class_names = class_names
        self._track_score = track_score
        self._scores: dict[int, TrackScores] = {}
        self._masks = MaskStore()

    def add_scores(self, ids: Sequence[int | None], class_scores: Tensor) -> None:
        """Add the detections of one frame: their N ids, or None, and (N, K+1) softmax vectors."""
        scores = class_scores[:, :-1].cpu()
        best = scores.max(1)
        best_scores, labels = best.values.tolist(), best.indices.tolist()
        for track_id, row, label, score in zip(ids, scores, labels, best_scores, strict=True):
            if track_id is None:
                continue
            if (known := self._scores.get(track_id)) is None:
                # A copy: a row would keep those of all detections in the frame.
                self._scores[track_id] = TrackScores(row.clone(), Counter([label]), score)
                continue
            known.class_scores = known.class_scores + row
            known.votes[label] += 1
            known.best_scores += score

    def add_frame(self, frame: np.ndarray, masks: dict[int, RLE]) -> FrameResult:
        """Add the final masks of the next frame.

        Args:
            frame: (H, W, 3) uint8 RGB.
            masks: RLEs of the frame's size by the ids of the tracks that are seen in it.
        """
        self._masks.add_frame(masks)
        best = [self._scores[track_id].best(self._track_score) for track_id in masks]
        return FrameResult(
            index=self._masks.num_frames - 1,
            frame=frame,
            track_ids=list(masks),
            labels=[label for label, _ in best],
            scores=[score for _, score in best],
            masks=list(masks.values()),
            class_names=self._class_names,
        )

    def tracks(self, class_floor: float, num_frames: int | None = None) -> Iterator[VideoTrack]:
        """The tracks with at least one mask in the first ``num_frames`` frames (default: in all).

        For ``class_floor`` see ``VideoSegmenter``.
        """
        if num_frames is None:
            num_frames = self._masks.num_frames
        for track_id in self._masks.track_ids():
            masks = self._masks.track(track_id, num_frames)
            num_seen = sum(mask is not None for mask in masks)
            if not num_seen:
                continue
            label, score = self._scores[track_id].best(self._track_score)
            reported = {label: score}
            if self._track_score != "majority":
                scores = enumerate(self._scores[track_id].mean_class_scores.tolist())
                reported |= {k: x for k, x in scores if x >= class_floor}
            seen = num_seen / num_frames if self._track_score == "video" else 1.0
            for label, score in sorted(reported.items()):
                yield VideoTrack(track_id, label, score * seen, masks)
