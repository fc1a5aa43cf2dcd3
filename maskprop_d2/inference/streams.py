"""Several videos, side by side, through one network."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import ExitStack

import numpy as np
import torch

from ..structures import FrameResult
from ..video import Camera
from ..video.prefetch import Prefetched, prefetch
from .image_detector import ImageDetector
from .linking import LinkingNetwork, link_detector
from .segmenter import VideoSegmenter
from .stream import VideoState

PATIENCE = 1.0
"""Seconds that a step waits for the next frame of a recorded video."""


def track_streams(
    segmenter: VideoSegmenter | ImageDetector, videos: Sequence[Iterable[np.ndarray]]
) -> "VideoStreams":
    """Track the objects of several videos, side by side.

    >>> streams = track_streams(segmenter, [VideoFile("a.mp4"), Camera("rtsp://10.0.0.2/live")])
    >>> for video, result in streams:
    ...     print(video, result.index, result.track_ids)

    Each step takes the next frame of each video. A camera without a new frame is left out of the
    step; so is a video that has once kept the others waiting for ``PATIENCE``. The frames of a step
    are one batch of an image detector (of each input size). A network with its own propagation
    takes ``frames_per_batch`` frames of one video after the other, and waits for these.

    A video that ends, or cannot be read any further, ends alone: its frames up to there are
    finished, and the others go on.

    Args:
        segmenter: the model, such as ``model_zoo.get`` returns, or a detector, whose masks are
            linked as by ``link``.
        videos: for each video its frames, (H, W, 3) uint8 RGB arrays of one size. Videos may differ
            in size.

    Returns:
        an iterator over (index in ``videos``, finished frame). The frames of each video are in
        order, and equal those of ``VideoSegmenter.stream``.
    """
    if isinstance(segmenter, ImageDetector):
        segmenter = link_detector(segmenter)
    return VideoStreams(segmenter, videos)


class VideoStreams(Iterator[tuple[int, FrameResult]]):
    """The iterator that ``track_streams`` returns.

    Attributes:
        videos: the tracks of each video (``VideoState.tracks``).
        lengths: for each video that has ended, by index, the number of its frames.
        errors: for each video that could not be read to its end, by index, the exception.
    """

    def __init__(self, segmenter: VideoSegmenter, videos: Sequence[Iterable[np.ndarray]]):
        """The arguments are those of ``track_streams``."""
        self.videos = [VideoState(segmenter) for _ in videos]
        self.lengths: dict[int, int] = {}
        self.errors: dict[int, Exception] = {}
        self._segmenter = segmenter
        # Steps do not wait for these.
        self._late = {i for i, video in enumerate(videos) if isinstance(video, Camera)}
        self._results = self._run(videos)

    def __next__(self) -> tuple[int, FrameResult]:
        return next(self._results)

    def close(self) -> None:
        """Stop reading."""
        self._results.close()

    @torch.inference_mode()
    def _run(
        self, videos: Sequence[Iterable[np.ndarray]]
    ) -> Generator[tuple[int, FrameResult], None, None]:
        read_ahead = 2 * self._segmenter.frames_per_batch
        network = self._segmenter.network
        with ExitStack() as stack:
            readers = [stack.enter_context(prefetch(video, read_ahead)) for video in videos]
            frames = [self._frames(i, reader) for i, reader in enumerate(readers)]
            results = [video.run(x) for video, x in zip(self.videos, frames, strict=True)]
            active = dict(enumerate(readers))
            while active:
                ready = self._wait(active)
                # Others take their frames as one video.
                if isinstance(network, LinkingNetwork):
                    yield from self._step_in_batch(network, {i: frames[i] for i in ready})
                else:
                    yield from self._step_one_by_one({i: results[i] for i in ready})
                active = {i: x for i, x in active.items() if i not in self.lengths}

    def _wait(self, readers: dict[int, Prefetched[np.ndarray]]) -> list[int]:
        """The videos, at least one, whose next frame or end has been read."""
        next_frames = {i: reader.ahead[0] for i, reader in readers.items()}
        wait([x for i, x in next_frames.items() if i not in self._late], PATIENCE)
        wait(next_frames.values(), return_when=FIRST_COMPLETED)
        ready = [i for i, x in next_frames.items() if x.done()]
        self._late.update(next_frames.keys() - ready)
        return ready

    def _step_in_batch(
        self, network: LinkingNetwork, frames: dict[int, Iterator[np.ndarray]]
    ) -> Iterator[tuple[int, FrameResult]]:
        """Take one frame from each of these videos."""
        images = {i: x for i, video in frames.items() if (x := next(video, None)) is not None}
        batch = [torch.from_numpy(np.ascontiguousarray(x)) for x in images.values()]
        outputs = network.detect([x.permute(2, 0, 1) for x in batch]) if batch else []
        for (i, image), output in zip(images.items(), outputs, strict=True):
            for result in self.videos[i].add(image, output):
                yield i, result
        for i in frames:
            if i not in images:
                for result in self.videos[i].finish():
                    yield i, result
                self.lengths[i] = self.videos[i].num_finished

    def _step_one_by_one(
        self, results: dict[int, Iterator[FrameResult]]
    ) -> Iterator[tuple[int, FrameResult]]:
        """Take one finished frame from each of these videos."""
        for i, video in results.items():
            result = next(video, None)
            if result is None:
                self.lengths[i] = self.videos[i].num_finished
            else:
                yield i, result

    def _frames(self, index: int, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames of a video, up to its end or to what cannot be read."""
        try:
            yield from self.videos[index].check(frames)
        # A video comes from anywhere, and can raise anything.
        except Exception as error:
            self.errors[index] = error
