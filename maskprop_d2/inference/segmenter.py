"""Streaming video instance segmentation over any frame network."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, VideoError
from ..ops.masks import paste_binary_mask
from ..ops.rle import encode
from ..structures import Frame, FrameOutput, FrameResult, TrackedFrame, VideoTrack, VideoTracks
from ..tracking import TrackerFactory, build_tracker
from ..tracking.base import FrameNetwork
from ..video.prefetch import prefetch
from .exported import ExportedNetwork, not_as_exported
from .track_records import TrackBook


class VideoSegmenter:
    """Segments, classifies and tracks the objects of videos of any length; in constant memory,
    unless the tracking method is an offline one.

    >>> for result in segmenter.stream(VideoFile("cats.mp4")):
    ...     print(result.index, result.track_ids)
    """

    def __init__(
        self,
        network: FrameNetwork,
        *,
        make_tracker: TrackerFactory,
        final_mask: str = "center",
        class_floor: float = 1.0,
        track_score: str = "detections",
        frames_per_batch: int = 4,
    ):
        """
        Args:
            network: what detects in frames and propagates masks between them.
            make_tracker: gives a new tracker for each video.
            final_mask: a track's mask in a frame: "center", the detection there (the paper's
                choice); "average", the mean of the masks of all clips that cover the frame;
                "fill", the detection, or that mean where the detector missed the object. The
                last two delay the output by 2T frames instead of T; methods that propagate no
                masks have the detections alone.
            class_floor: a track is reported for its best category, and for each further one
                whose score is at least this.
            track_score: a track's score is the mean over its "detections" (the paper's choice), or
                that times the share of the "video" in which it is seen.
            frames_per_batch: frames that go through the detector at once.
        """
        if final_mask not in ("center", "average", "fill"):
            raise InputError(
                f"LINKING.FINAL_MASK must be 'center', 'average' or 'fill', not '{final_mask}'"
            )
        if track_score not in ("detections", "video"):
            raise InputError(
                f"LINKING.TRACK_SCORE must be 'detections' or 'video', not '{track_score}'"
            )
        if frames_per_batch < 1:
            raise InputError(f"FRAMES_PER_BATCH must be at least 1, not {frames_per_batch}")
        self.network = network
        self.make_tracker = make_tracker
        self.final_mask = final_mask
        self.class_floor = class_floor
        self.track_score = track_score
        self.frames_per_batch = frames_per_batch

    @classmethod
    def from_options(
        cls, network: FrameNetwork, *, tracker: dict[str, Any], **options: Any
    ) -> "VideoSegmenter":
        """From plain values, as configs and exported models hold them.

        Args:
            network: see ``VideoSegmenter``.
            tracker: arguments of ``build_tracker``.
            **options: further ones of ``VideoSegmenter``.
        """
        return cls(network, make_tracker=build_tracker(**tracker), **options)

    @classmethod
    def from_exported(
        cls,
        path: str | Path,
        *,
        score_threshold: float | None = None,
        device: str | torch.device | None = None,
    ) -> "VideoSegmenter":
        """From a file that ``maskprop export`` made; Detectron2 is not needed.

        Args:
            path: the file. What it holds runs in torch's interpreter of TorchScript alone.
            score_threshold: detections with a lower score are left out (default: as exported).
            device: where to run (default: on a GPU if there is one).

        Raises:
            ModelFileError: if it is no exported model, damaged, or of another version.
        """
        network = ExportedNetwork(path, score_threshold=score_threshold, device=device)
        try:
            return cls.from_options(network, **network.segmenter_options)
        except (TypeError, ValueError) as error:
            raise not_as_exported(path, error) from error

    def stream(self, frames: Iterable[np.ndarray]) -> "VideoStream":
        """Start on a video.

        Args:
            frames: (H, W, 3) uint8 RGB arrays, all of one size, read one at a time.

        Returns:
            an iterator over the finished frames, in order; see its ``tracks`` at the end.
        """
        return VideoStream(self, frames)

    def segment(self, frames: Iterable[np.ndarray]) -> VideoTracks:
        """Run through a video and give its tracks."""
        stream = self.stream(frames)
        for _ in stream:
            pass
        return stream.tracks()


class _WindowFrame:
    """What is needed of a frame from its detection until it is finished; not its feature maps."""

    def __init__(self, frame: Frame):
        self.image = frame.image
        self.box_masks = frame.output.box_masks
        self.mask_boxes_video = frame.output.mask_boxes_video
        self.class_scores = frame.output.class_scores
        self.grid_box_video = frame.output.grid_box_video
        self.ids: list[int] = []
        # Of each video id: the sum of the masks that clips give it here, and their number.
        self.clip_masks: dict[int, tuple[Tensor, int]] = {}

    def add_clip_masks(self, ids: list[int], masks: Tensor) -> None:
        """Add what one clip says: ids of its N tracks, and (N, h, w) their masks here."""
        for track_id, mask in zip(ids, masks, strict=True):
            total, count = self.clip_masks.get(track_id, (torch.zeros_like(mask), 0))
            self.clip_masks[track_id] = total + mask, count + 1


class VideoStream:
    """One video on its way through a segmenter: frames go in, finished frames come out.

    It holds the frames that are not finished, and the RLEs of what is. How many the former are is
    up to the tracking method: T, or all until the end of the video for an offline one; and K more
    if the network has K later frames support each one (``networks/stsn.py``).
    """

    def __init__(self, segmenter: VideoSegmenter, frames: Iterable[np.ndarray]):
        """See ``VideoSegmenter.stream``."""
        self.segmenter = segmenter
        self.tracker = segmenter.make_tracker(segmenter.network)
        self._results = self._run(frames)
        self._book = TrackBook()
        self._uses_clips = segmenter.final_mask != "center" and self.tracker.clip_radius > 0
        # Clips centred up to T frames later also have a say in an averaged mask.
        self._lag = self.tracker.clip_radius if self._uses_clips else 0
        # Frames that have gone into the network and not come out yet.
        self._undetected: deque[np.ndarray] = deque()
        self._window: deque[_WindowFrame] = deque()
        # Index of the first frame of the window, the next to be finished.
        self._next_result = 0

    def __iter__(self) -> Iterator[FrameResult]:
        return self._results

    def __next__(self) -> FrameResult:
        return next(self._results)

    def tracks(self, num_frames: int | None = None) -> VideoTracks:
        """The video-level tracks of the first so many frames, by default of all finished so far.

        Raises:
            VideoError: before the first frame.
        """
        if self._book.frame_size is None:
            raise VideoError("the video has no frame")
        tracks = VideoTracks(self._book.frame_size, [], [], [], [])
        for track in self.each_track(num_frames):
            tracks.track_ids.append(track.track_id)
            tracks.pred_labels.append(track.label)
            tracks.pred_scores.append(track.score)
            tracks.pred_masks.append(track.masks)
        return tracks

    def each_track(self, num_frames: int | None = None) -> Iterator[VideoTrack]:
        """The same one at a time: of a long video, all of them may be too much for memory."""
        options = self.segmenter
        return self._book.tracks(options.class_floor, options.track_score, num_frames)

    def _run(self, frames: Iterable[np.ndarray]) -> Iterator[FrameResult]:
        with prefetch(frames, 2 * self.segmenter.frames_per_batch) as ahead:
            for index, output in enumerate(self._detect(ahead)):
                for tracked in self._track(Frame(index, self._undetected.popleft(), output)):
                    self._add(tracked)
                    while self._next_result <= tracked.index - self._lag:
                        yield self._finish_next()
        for tracked in self._track(None):
            self._add(tracked)
        while self._window:
            yield self._finish_next()

    @torch.inference_mode()
    def _detect(self, frames: Iterator[np.ndarray]) -> Iterator[FrameOutput]:
        yield from self.segmenter.network.detect_stream(self._batches(frames))

    def _batches(self, frames: Iterator[np.ndarray]) -> Iterator[Tensor]:
        """Checked frames as the network takes them, (B, 3, H, W)."""
        index = 0
        while batch := list(islice(frames, self.segmenter.frames_per_batch)):
            for frame in batch:
                self._check(frame, index)
                index += 1
            self._undetected += batch
            yield torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)

    def _check(self, frame: np.ndarray, index: int) -> None:
        size = frame.shape[:2]
        if self._book.frame_size is None:
            self._book.frame_size = size
        if size != self._book.frame_size or frame.dtype != np.uint8 or frame.ndim != 3:
            raise VideoError(
                f"frame {index} is a {frame.dtype} array of shape {frame.shape}: expected "
                f"uint8 RGB of {self._book.frame_size} pixels like the first frame"
            )

    @torch.inference_mode()
    def _track(self, frame: Frame | None) -> list[TrackedFrame]:
        """What the tracker knows once it has seen the next frame, or, for None, the end."""
        if frame is None:
            return self.tracker.finish()
        self._window.append(_WindowFrame(frame))
        return self.tracker.add(frame)

    @torch.inference_mode()
    def _add(self, tracked: TrackedFrame) -> None:
        """Note the ids of a frame, and what its clip says of the frames around."""
        middle = self._window[tracked.index - self._next_result]
        middle.ids = tracked.ids
        scores = middle.class_scores if tracked.class_scores is None else tracked.class_scores
        self._book.add_scores(middle.ids, scores)
        if self._uses_clips and tracked.clip is not None:
            for s, masks in zip(tracked.clip.frames, tracked.clip.masks, strict=True):
                self._window[s - self._next_result].add_clip_masks(middle.ids, masks)

    @torch.inference_mode()
    def _finish_next(self) -> FrameResult:
        """The final masks of the first frame of the window, which leaves it."""
        x = self._window.popleft()
        self._next_result += 1
        height, width = x.image.shape[:2]
        final: dict[int, Tensor] = {}
        if self._uses_clips:
            for track_id, (total, count) in x.clip_masks.items():
                final[track_id] = paste_binary_mask(total / count, x.grid_box_video, height, width)
        if not self._uses_clips or self.segmenter.final_mask == "fill":
            detected: dict[int, Tensor] = {}
            masks_and_boxes = zip(x.box_masks, x.mask_boxes_video, strict=True)
            for track_id, (mask, box) in zip(x.ids, masks_and_boxes, strict=True):
                pasted = paste_binary_mask(mask, box, height, width)
                # Without exclusive assignment two detections may share an id.
                detected[track_id] = pasted | detected.get(track_id, False)
            final.update(detected)
        masks = {k: encode(m.cpu().numpy()) for k, m in sorted(final.items()) if m.any()}
        return self._book.add_frame(x.image, masks)
