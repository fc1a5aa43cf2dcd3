"""One video on its way through a segmenter."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import VideoError
from ..ops.masks import paste_binary_mask
from ..ops.rle import encode
from ..structures import (
    Frame,
    FrameOutput,
    FrameResult,
    TrackedFrame,
    VideoTrack,
    VideoTracks,
)
from ..video.prefetch import prefetch
from .track_records import TrackRecords

if TYPE_CHECKING:
    from .segmenter import VideoSegmenter


class VideoState:
    """The tracks of one video, to which frames are added with what was detected in them.

    It holds the frames that are not finished, and the RLEs of those that are. How many frames wait
    depends on the tracking method: T, or all until the end of the video for an offline method.

    Attributes:
        num_finished: the number of frames finished so far.
    """

    def __init__(self, segmenter: "VideoSegmenter"):
        """``segmenter``: has the options."""
        self.segmenter = segmenter
        self.tracker = segmenter.make_tracker(segmenter.network)
        # Without clips the detections are all there is.
        self._final_mask = segmenter.final_mask if self.tracker.clip_radius > 0 else "center"
        # Clips centred up to T frames later also contribute to an averaged mask.
        self._lag = 0 if self._final_mask == "center" else self.tracker.clip_radius
        names = getattr(segmenter.network, "class_names", None)
        self._records = TrackRecords(names, segmenter.track_score)
        self._image_size: tuple[int, int] | None = None
        # Frames that wait to be finished.
        self._pending: deque[_PendingFrame] = deque()
        self._num_added = 0
        self._num_tracked = 0
        self.num_finished = 0

    def check(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames of the video, each checked when it is read.

        Raises:
            VideoError: while iterating, for a frame that is not uint8 RGB or has another size than
                the first.
        """
        for index, frame in enumerate(frames):
            if self._image_size is None:
                self._image_size = frame.shape[:2]
            right = frame.dtype == np.uint8 and frame.shape == (*self._image_size, 3)
            if not (right and frame.size):
                raise VideoError(
                    f"frame {index} is a {frame.dtype} array of shape {frame.shape}: all frames "
                    f"of a video must be uint8 RGB and of one size, here {self._image_size}"
                )
            yield frame

    def add(self, image: np.ndarray, output: FrameOutput) -> Iterator[FrameResult]:
        """Add the next frame, (H, W, 3) uint8 RGB; returns the frames that this finishes."""
        frame = Frame(self._num_added, image, output)
        self._num_added += 1
        self._pending.append(_PendingFrame(frame))
        self._store(self.tracker.add(frame))
        while self.num_finished < self._num_tracked - self._lag:
            yield self._finish_next()

    def finish(self) -> Iterator[FrameResult]:
        """The remaining frames, after the end of the video."""
        self._store(self.tracker.finish())
        while self._pending:
            yield self._finish_next()

    @torch.inference_mode()
    def run(self, frames: Iterable[np.ndarray]) -> Iterator[FrameResult]:
        """Detect in all frames of the video, which are read as they are needed. More of them wait
        if the network samples features from K later frames (``networks/stsn.py``).

        Raises:
            VideoError: see ``check``.
        """
        undetected: deque[np.ndarray] = deque()
        batches = self._batches(self.check(frames), undetected)
        for output in self.segmenter.network.detect_stream(batches):
            yield from self.add(undetected.popleft(), output)
        yield from self.finish()

    def tracks(self, num_frames: int | None = None) -> VideoTracks:
        """The video-level tracks in the first ``num_frames`` frames (default: in all so far).

        Raises:
            VideoError: before the first frame.
        """
        if self._image_size is None:
            raise VideoError("the video has no frame")
        tracks = VideoTracks(self._image_size, [], [], [], [], [])
        for track in self.iter_tracks(num_frames):
            tracks.track_ids.append(track.track_id)
            tracks.pred_labels.append(track.label)
            tracks.pred_scores.append(track.score)
            tracks.pred_masks.append(track.masks)
            tracks.parent_ids.append(track.parent_id)
        return tracks

    def iter_tracks(self, num_frames: int | None = None) -> Iterator[VideoTrack]:
        """Like ``tracks``, but one by one: the tracks of a long video may not fit into memory."""
        for track in self._records.tracks(self.segmenter.class_floor, num_frames):
            yield replace(track, parent_id=self.tracker.parents.get(track.track_id))

    def _batches(
        self, frames: Iterator[np.ndarray], undetected: deque[np.ndarray]
    ) -> Iterator[Tensor]:
        """(B, 3, H, W) batches of frames, which are appended to ``undetected``."""
        while batch := list(islice(frames, self.segmenter.frames_per_batch)):
            undetected += batch
            yield torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)

    def _store(self, tracked_frames: Iterable[TrackedFrame]) -> None:
        """Store the output of the tracker."""
        for tracked in tracked_frames:
            self._num_tracked += 1
            center = self._pending[tracked.index - self.num_finished]
            center.ids = tracked.ids
            center.filled = tracked.filled
            scores = center.class_scores if tracked.class_scores is None else tracked.class_scores
            self._records.add_scores(tracked.ids, scores)
            if self._final_mask != "center" and tracked.clip is not None:
                for s, masks in zip(tracked.clip.frames, tracked.clip.masks, strict=True):
                    self._pending[s - self.num_finished].add_clip_masks(tracked.ids, masks)
            self._end_divided(tracked)

    def _end_divided(self, tracked: TrackedFrame) -> None:
        """Drop the masks that the clips of a divided track have from its daughters' frame on."""
        mothers = {self.tracker.parents[y] for y in tracked.ids if y in self.tracker.parents}
        if mothers:
            for frame in islice(self._pending, tracked.index - self.num_finished, None):
                frame.drop_clip_masks(mothers)

    def _finish_next(self) -> FrameResult:
        """Encode the final masks of the first pending frame."""
        frame = self._pending.popleft()
        self.num_finished += 1
        masks = frame.filled_masks()
        if self._final_mask != "center":
            masks |= frame.averaged_masks()
        if self._final_mask != "average":
            masks |= frame.detected_masks()
        rles = {k: encode(m.cpu().numpy()) for k, m in sorted(masks.items()) if m.any()}
        return self._records.add_frame(frame.image, rles)


class VideoStream(VideoState, Iterator[FrameResult]):
    """An iterator over the finished frames of one video, which takes frames in as it needs them."""

    def __init__(self, segmenter: "VideoSegmenter", frames: Iterable[np.ndarray]):
        """The arguments are those of ``VideoSegmenter.stream``."""
        super().__init__(segmenter)
        self._results = self._run(frames)

    def __next__(self) -> FrameResult:
        return next(self._results)

    def _run(self, frames: Iterable[np.ndarray]) -> Iterator[FrameResult]:
        with prefetch(frames, 2 * self.segmenter.frames_per_batch) as prefetched:
            yield from self.run(prefetched)


class _PendingFrame:
    """A frame that is detected but not finished, without its feature maps."""

    def __init__(self, frame: Frame):
        output = frame.output
        self.image = frame.image
        self.class_scores = output.class_scores
        self.ids: Sequence[int | None] = []
        self.filled: dict[int, Tensor] = {}
        self._box_masks = output.box_masks
        self._mask_boxes = output.mask_boxes_video
        self._grid_box = output.grid_box_video
        # For each track the sum of its masks in the clips around, and their number.
        self._clip_masks: dict[int, tuple[Tensor, int]] = {}

    def add_clip_masks(self, ids: Sequence[int | None], masks: Tensor) -> None:
        """Add the (N, h, w) masks in this frame of a clip's tracks, with these N ids."""
        for track_id, mask in zip(ids, masks, strict=True):
            if track_id is None:
                continue
            total, count = self._clip_masks.get(track_id, (torch.zeros_like(mask), 0))
            self._clip_masks[track_id] = total + mask, count + 1

    def drop_clip_masks(self, ids: set[int]) -> None:
        """Remove what ``add_clip_masks`` added for these tracks."""
        for track_id in ids:
            self._clip_masks.pop(track_id, None)

    def detected_masks(self) -> dict[int, Tensor]:
        """(H, W) bool masks of the detections by track id."""
        masks: dict[int, Tensor] = {}
        for track_id, mask, box in zip(self.ids, self._box_masks, self._mask_boxes, strict=True):
            if track_id is None:
                continue
            pasted = paste_binary_mask(mask, box, *self.image.shape[:2])
            # Detections may share an id if assignment is not exclusive.
            masks[track_id] = pasted | masks.get(track_id, False)
        return masks

    def filled_masks(self) -> dict[int, Tensor]:
        """(H, W) bool masks by track id, where the method filled in what was not detected."""
        return {
            track_id: paste_binary_mask(mask, self._grid_box, *self.image.shape[:2])
            for track_id, mask in self.filled.items()
        }

    def averaged_masks(self) -> dict[int, Tensor]:
        """(H, W) bool masks by track id: the mean of all clips, thresholded."""
        return {
            track_id: paste_binary_mask(total / count, self._grid_box, *self.image.shape[:2])
            for track_id, (total, count) in self._clip_masks.items()
        }
