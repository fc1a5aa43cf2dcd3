"""Carry the objects of one frame through a video.

MASK is an id mask: a PNG in which the value of a pixel is the number of its object (0: none,
255: void). It belongs to the frame of the same name, or to --source. The command writes an id mask
for each frame.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..detections.id_mask_folder import read_objects
from ..errors import InputError
from ..inference.propagation import propagate_stream
from ..video import Excerpt, FrameFiles, VideoFile
from ..video.drawing import draw_masks
from ..video.frame_files import frame_name
from ..video.id_masks import VOID, IdMaskWriter, read_id_mask
from ..video.writing import VIDEO_SUFFIXES, VideoWriter, is_video_name
from .arguments import at_least
from .interruption import Interruption
from .video_io import (
    add_source_arguments,
    add_threads_argument,
    check_path,
    open_source,
    run_video_command,
)

CHUNK_BYTES = 2**28
"""Memory for frames of a video file, which can only be decoded forwards, to reverse their order."""


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--masks", type=Path, required=True, metavar="MASK", help="id mask of one frame"
    )
    add_source_arguments(parser)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="O", help="folder for the id masks"
    )
    parser.add_argument(
        "--source",
        type=at_least(0),
        metavar="FRAME",
        help="index, from 0, of the frame that MASK belongs to (default: the frame of the same "
        "name, otherwise 0)",
    )
    parser.add_argument(
        "--drawn", type=Path, metavar="V", help="also write a video with the masks drawn"
    )
    add_threads_argument(parser)
    args = parser.parse_args(argv)
    if is_video_name(args.output):
        parser.error(f"--output {args.output} is a folder for PNGs: for a video use --drawn")
    if args.drawn and not is_video_name(args.drawn):
        parser.error(f"--drawn {args.drawn} must be a video: {', '.join(sorted(VIDEO_SUFFIXES))}")
    return args


def find_source(args: argparse.Namespace, video: VideoFile | FrameFiles) -> int:
    """The index of the frame that the mask belongs to.

    Raises:
        InputError: if there is no such frame.
    """
    index, name = args.source, args.masks.stem
    if index is None and isinstance(video, FrameFiles):
        index = video.names.index(name) if name in video.names else 0
    elif index is None:
        # The names that this and other commands give to the masks of a video.
        index = int(name) if name.isdecimal() and frame_name(video, int(name)) == name else 0
    if isinstance(video, FrameFiles) and index >= video.num_frames:
        raise InputError(f"there is no frame {index}: the input has {video.num_frames} images")
    return index


def read_masks(path: Path, image_size: tuple[int, int]) -> tuple[list[int], np.ndarray]:
    """The pixel values of N objects and their (N, H, W) bool masks.

    Raises:
        InputError: if the file cannot be used.
    """
    values, masks = read_objects(path, image_size)
    if not values:
        raise InputError(f"{path} has no object: all pixels are 0")
    return values, masks


def frames_after(video: VideoFile | FrameFiles, index: int) -> Iterator[np.ndarray]:
    """The frames from ``index`` to the end."""
    if isinstance(video, FrameFiles):
        return iter(FrameFiles(video.paths[index:]))
    return islice(video, index, None)


def frames_before(video: VideoFile | FrameFiles, index: int) -> Iterator[np.ndarray]:
    """The frames from ``index`` back to the beginning."""
    if isinstance(video, FrameFiles):
        yield from FrameFiles(video.paths[index::-1])
        return
    height, width = video.frame_size
    length = max(1, CHUNK_BYTES // (height * width * 3))
    for end in range(index + 1, 0, -length):
        yield from reversed(list(islice(video, max(0, end - length), end)))


def propagate_ids(
    video: VideoFile | FrameFiles, index: int, values: list[int], masks: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Frame indices and (H, W) id masks: the frames from ``index`` to the end, then those before.

    Args:
        video: the frames.
        index: the frame with the given masks.
        values: pixel values of N objects.
        masks: (N, H, W) bool.

    Raises:
        InputError: if the video has no frame ``index``.
    """
    after = enumerate(propagate_stream(frames_after(video, index), masks), start=index)
    before = enumerate(propagate_stream(frames_before(video, index), masks))
    lookup = np.array(values, np.uint8 if max(values) <= VOID else np.uint16)

    def draw_ids(soft: np.ndarray) -> np.ndarray:
        return np.where(soft.max(0) > 0.5, lookup[soft.argmax(0)], lookup.dtype.type(0))

    frame = None
    for frame, soft in after:
        yield frame, draw_ids(soft)
    if frame is None:
        raise InputError(f"the video has no frame {index}")
    for steps, soft in islice(before, 1, None):
        yield index - steps, draw_ids(soft)


def draw(video: VideoFile | FrameFiles, folder: Path, values: list[int], path: Path) -> None:
    """Write a video of the id masks in ``folder``, in the colours of their palette."""
    with VideoWriter(path, video.fps) as writer:
        for index, frame in enumerate(video):
            ids = read_id_mask(folder / f"{frame_name(video, index)}.png")
            seen = [x for x in values if (ids == x).any()]
            masks = [ids == x for x in seen]
            writer.write(draw_masks(frame, masks, [x - 1 for x in seen], [str(x) for x in seen]))


def run(args: argparse.Namespace) -> None:
    """Write the id masks, and the video if wanted."""
    video = open_source(args, Excerpt())
    check_path("--output", args.output, video, is_folder=True)
    if args.drawn:
        check_path("--drawn", args.drawn, video, is_folder=False)
    index = find_source(args, video)
    values, masks = read_masks(args.masks, video.frame_size)
    writer = IdMaskWriter(args.output)
    count = 0
    with Interruption() as interruption:
        results = tqdm(
            propagate_ids(video, index, values, masks), total=video.num_frames, disable=None
        )
        for frame, ids in interruption.until_signal(results):
            writer.write(ids, frame_name(video, frame))
            count += 1
    if interruption.signal:
        print(f"Interrupted: {count} id masks are finished.", file=sys.stderr)
        sys.exit(128 + interruption.signal)
    if args.drawn:
        draw(video, args.output, values, args.drawn)
    written = [args.output, *filter(None, [args.drawn])]
    print(f"{count} frames; wrote {', '.join(map(str, written))}")


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    run_video_command(lambda: run(args), args.threads)
