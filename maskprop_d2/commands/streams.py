"""Several videos at once in ``maskprop track``."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..video import Camera, Source
from ..video.prefetch import prefetch
from .interruption import Interruption
from .video_outputs import VideoOutputs

if TYPE_CHECKING:
    # Loads torch, without which commands start faster.
    from ..inference.streams import VideoStreams


def write_streams(
    streams: "VideoStreams",
    names: Sequence[str],
    sources: Sequence[Source],
    outputs: Sequence[VideoOutputs],
    *,
    read_ahead: bool,
) -> None:
    """Process several videos and write the outputs of each, which are complete when it ends. Ctrl-C
    keeps the frames that are finished by then.

    Exits with status 1 if a video could not be read to its end.

    Args:
        streams: the finished frames of ``sources``.
        names: what to call the videos in messages.
        sources: the videos.
        outputs: for each of them what to write.
        read_ahead: as for ``write_tracks``.
    """
    start = time.perf_counter()
    lengths = [source.num_frames for source in sources]
    total = None if None in lengths else sum(filter(None, lengths))
    with Interruption() as interruption:
        with ExitStack() as stack:
            bar = stack.enter_context(tqdm(total=total, unit="frame", disable=None))
            stack.enter_context(logging_redirect_tqdm())
            stack.callback(streams.close)
            for output in outputs:
                stack.enter_context(output)
            results = stack.enter_context(prefetch(streams, 2)) if read_ahead else streams
            for index, result in interruption.until_signal(results):
                go_on = outputs[index].write(result)
                bar.update()
                _finish_ended(streams, outputs)
                if not go_on:
                    break
        for output, video in zip(outputs, streams.videos, strict=True):
            if output.num_frames:
                output.finish(video)
    num_frames = sum(output.num_frames for output in outputs)
    if interruption.signal and not num_frames:
        print("Interrupted before the first frame was finished.", file=sys.stderr)
        sys.exit(128 + interruption.signal)
    if interruption.signal:
        print("Interrupted: the finished frames are kept.", file=sys.stderr)
    seconds = time.perf_counter() - start
    print(f"{num_frames} frames in {seconds:.1f} s, {num_frames / seconds:.1f} frames/s")
    for name, output in zip(names, outputs, strict=True):
        written = f"wrote {', '.join(map(str, output.paths))}" if output.num_frames else "no output"
        print(f"{name}: {output.num_frames} frames, {written}")
    is_broken = _print_problems(streams, names, sources, outputs)
    # For cameras, Ctrl-C is the normal end.
    if interruption.signal and not all(isinstance(source, Camera) for source in sources):
        sys.exit(128 + interruption.signal)
    if is_broken:
        sys.exit(1)


def _print_problems(
    streams: "VideoStreams",
    names: Sequence[str],
    sources: Sequence[Source],
    outputs: Sequence[VideoOutputs],
) -> bool:
    """Name the videos that could not be read to their end; returns whether there are any."""
    is_broken = False
    for index, (name, source) in enumerate(zip(names, sources, strict=True)):
        problem = streams.errors.get(index) or getattr(source, "problem", None)
        if problem:
            is_broken = True
            kept = f"frames kept: {outputs[index].num_frames}"
            print(
                f"error: {name} could not be read to its end ({kept}): {problem}", file=sys.stderr
            )
    return is_broken


def _finish_ended(streams: "VideoStreams", outputs: Sequence[VideoOutputs]) -> None:
    """Complete the outputs of the videos that have ended and are written."""
    # Another thread may add to them.
    for index, length in list(streams.lengths.items()):
        if outputs[index].num_frames == length > 0:
            outputs[index].finish(streams.videos[index])
