"""Streaming video instance segmentation over any frame network."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..ops.masks import paste_binary_mask
from ..ops.rle import encode
from ..structures import ClipTracks, FrameNetwork, FrameOutput, FrameResult, VideoTracks
from ..tracking import Tracker, build_tracker
from .exported import ExportedNetwork, not_as_exported
from .track_book import TrackBook
from .video import VideoError, prefetch


class VideoSegmenter:
    """Segments, classifies and tracks the objects of videos of any length in constant memory.

    >>> for result in segmenter.stream(VideoFile("cats.mp4")):
    ...     print(result.index, result.track_ids)
    """

    def __init__(
        self,
        network: FrameNetwork,
        *,
        make_tracker: Callable[[], Tracker],
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
                last two delay the output by 2T frames instead of T.
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
        """From a file that ``tools/export_model.py`` made; Detectron2 is not needed.

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
    """A frame of the sliding window, from its detection until it is finished."""

    def __init__(self, index: int, frame: np.ndarray, output: FrameOutput):
        self.index = index
        self.frame = frame
        self.output = output
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

    It holds the frames of the sliding window, and the RLEs of what is finished.
    """

    def __init__(self, segmenter: VideoSegmenter, frames: Iterable[np.ndarray]):
        """See ``VideoSegmenter.stream``."""
        self.segmenter = segmenter
        self.tracker = segmenter.make_tracker()
        self._results = self._run(frames)
        self._book = TrackBook()
        self._radius = self.tracker.clip_radius
        # Clips centred up to T frames later also have a say in an averaged mask.
        self._lag = 0 if segmenter.final_mask == "center" else self._radius
        self._window: deque[_WindowFrame] = deque()
        self._next_center = 0
        self._next_result = 0

    def __iter__(self) -> Iterator[FrameResult]:
        return self._results

    def __next__(self) -> FrameResult:
        return next(self._results)

    def tracks(self, num_frames: int | None = None) -> VideoTracks:
        """The video-level tracks of the first so many frames, by default of all finished so far."""
        options = self.segmenter
        return self._book.tracks(options.class_floor, options.track_score, num_frames)

    def _run(self, frames: Iterable[np.ndarray]) -> Iterator[FrameResult]:
        index = 0
        with prefetch(frames, 2 * self.segmenter.frames_per_batch) as ahead:
            while batch := list(islice(ahead, self.segmenter.frames_per_batch)):
                for frame, output in zip(batch, self._detect(batch, index), strict=True):
                    self._window.append(_WindowFrame(index, frame, output))
                    index += 1
                    yield from self._advance(last_center=index - 1 - self._radius)
        yield from self._advance(last_center=index - 1, last_result=index - 1)

    @torch.inference_mode()
    def _detect(self, batch: list[np.ndarray], index: int) -> list[FrameOutput]:
        for i, frame in enumerate(batch):
            size = frame.shape[:2]
            if self._book.frame_size is None:
                self._book.frame_size = size
            if size != self._book.frame_size or frame.dtype != np.uint8 or frame.ndim != 3:
                raise VideoError(
                    f"frame {index + i} is a {frame.dtype} array of shape {frame.shape}: expected "
                    f"uint8 RGB of {self._book.frame_size} pixels like the first frame"
                )
        stacked = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
        return self.segmenter.network.detect(stacked)

    def _advance(self, last_center: int, last_result: int | None = None) -> Iterator[FrameResult]:
        """Link the clips up to ``last_center``, and give the frames that this finishes."""
        while self._next_center <= last_center:
            self._link(self._next_center)
            self._next_center += 1
        if last_result is None:
            last_result = last_center - self._lag
        while self._next_result <= last_result:
            yield self._finish(self._window[self._next_result - self._window[0].index])
            self._next_result += 1
            self._drop_frames()

    @torch.inference_mode()
    def _link(self, center: int) -> None:
        """Build the clip around a frame and give its tracks their video-level ids."""
        clip_frames = [x for x in self._window if abs(x.index - center) <= self._radius]
        middle = clip_frames[center - clip_frames[0].index]
        clip = ClipTracks(
            center=center,
            start=clip_frames[0].index,
            masks=self._propagate(middle, clip_frames),
            class_scores=middle.output.class_scores,
        )
        middle.ids = self.tracker.step(clip)
        self._book.add_scores(middle.ids, middle.output.class_scores)
        if self.segmenter.final_mask != "center":
            for x, masks in zip(clip_frames, clip.masks, strict=True):
                x.add_clip_masks(middle.ids, masks)

    def _propagate(self, middle: _WindowFrame, clip_frames: list[_WindowFrame]) -> Tensor:
        """(S, N, h, w): the detector's masks in the middle, propagated ones around it."""
        masks = middle.output.grid_masks
        targets = [x.output for x in clip_frames if x is not middle]
        if not targets or len(masks) == 0:
            return masks.expand(len(clip_frames), -1, -1, -1)
        propagated = self.segmenter.network.propagate(middle.output, targets)
        before = middle.index - clip_frames[0].index
        return torch.cat([propagated[:before], masks[None], propagated[before:]])

    @torch.inference_mode()
    def _finish(self, x: _WindowFrame) -> FrameResult:
        """The final masks of a frame."""
        height, width = x.frame.shape[:2]
        final: dict[int, Tensor] = {}
        if self.segmenter.final_mask != "center":
            for track_id, (total, count) in x.clip_masks.items():
                box = x.output.grid_box_video
                final[track_id] = paste_binary_mask(total / count, box, height, width)
        if self.segmenter.final_mask != "average":
            detected: dict[int, Tensor] = {}
            masks_and_boxes = zip(x.output.box_masks, x.output.boxes_video, strict=True)
            for track_id, (mask, box) in zip(x.ids, masks_and_boxes, strict=True):
                pasted = paste_binary_mask(mask, box, height, width)
                # Without exclusive assignment two detections may share an id.
                detected[track_id] = pasted | detected.get(track_id, False)
            final.update(detected)
        masks = {k: encode(m.cpu().numpy()) for k, m in sorted(final.items()) if m.any()}
        return self._book.add_frame(x.frame, masks)

    def _drop_frames(self) -> None:
        """Forget the frames that no clip to come reaches and that are finished."""
        oldest_needed = min(self._next_center - self._radius, self._next_result)
        while self._window and self._window[0].index < oldest_needed:
            self._window.popleft()
