"""What the commands that process a video share: their options, input and outputs."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import InputError, VideoError, run_command
from ..threads import set_threads
from ..video import Camera, Excerpt, FrameFiles, Source, VideoFile, find_frames
from ..video.prefetch import prefetch
from ..video.writing import VIDEO_SUFFIXES, is_video_name
from .arguments import at_least
from .interruption import Interruption
from .log_setup import setup_logging
from .video_outputs import VideoOutputs

if TYPE_CHECKING:
    # Loads torch, without which commands start faster.
    from ..inference import VideoStream


def add_source_arguments(
    parser: argparse.ArgumentParser,
) -> argparse._MutuallyExclusiveGroup:
    """Add ``--video-input`` and ``--input``, one of which is required; returns their group, to
    which a command may add other sources."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video-input", metavar="V", help="video file")
    source.add_argument("--input", nargs="+", help="frames: image files, glob patterns or a folder")
    return source


def add_excerpt_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--start``, ``--duration`` and ``--stride``; see ``parse_excerpt``."""
    parser.add_argument(
        "--start", type=float, default=0, metavar="S", help="skip the first S seconds"
    )
    parser.add_argument(
        "--duration", type=float, metavar="S", help="process S seconds (default: all)"
    )
    parser.add_argument(
        "--stride", type=int, default=1, metavar="N", help="process every N-th frame (default: 1)"
    )


def add_output_arguments(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Add the options of what ``write_tracks`` writes. ``--output`` is required unless ``default``
    describes what it is without the option."""
    parser.add_argument(
        "--output",
        type=Path,
        required=not default,
        metavar="O",
        help=f"video file ({', '.join(sorted(VIDEO_SUFFIXES))}) or folder for images"
        + (f" (default: {default})" if default else ""),
    )
    parser.add_argument(
        "--trails", action="store_true", help="draw the path of each object in the last second"
    )
    parser.add_argument(
        "--id-masks",
        type=Path,
        metavar="DIR",
        help="also write an id mask of each frame to this folder: a PNG in which the value of a "
        "pixel is the id of its object + 1 (+ 2 from id 254 on, because 255 means void)",
    )


def add_threshold_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--confidence-threshold``; ``default`` describes what it is without the option."""

    def score(text: str) -> float:
        value = float(text)
        if not 0 <= value <= 1:
            raise argparse.ArgumentTypeError(f"must be in 0..1, not {text}")
        return value

    parser.add_argument(
        "--confidence-threshold",
        type=score,
        metavar="X",
        help=f"drop detections scored below this (default: {default})",
    )


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="compute with N threads (default: OMP_NUM_THREADS, or the cores that are free)",
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        metavar="D",
        help="run the model on cpu, cuda, cuda:1, ... (default: a GPU if there is one)",
    )


def parse_excerpt(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Excerpt:
    """The part of the video to process. Exits with status 2 for values out of range."""
    try:
        return Excerpt(args.start, args.duration, args.stride)
    except ValueError as error:
        parser.error(str(error))


def read_class_names(given: list[str] | None) -> list[str] | None:
    """The names of ``--class-names``: those given, or the lines of the one file that is given.

    Raises:
        InputError: if the file is not text in UTF-8.
    """
    if given and len(given) == 1 and Path(given[0]).is_file():
        try:
            lines = Path(given[0]).read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"--class-names {given[0]} is not text in UTF-8") from error
        return [line.strip() for line in lines if line.strip()]
    return given


def open_source(args: argparse.Namespace, excerpt: Excerpt) -> VideoFile | FrameFiles:
    """Open the video or images of ``add_source_arguments``."""
    if args.video_input:
        return VideoFile(args.video_input, excerpt)
    return FrameFiles(find_frames(args.input), excerpt=excerpt)


def results_file(output: Path) -> Path:
    """``results.json`` beside a video, or in a folder for drawn frames."""
    return (output.parent if is_video_name(output) else output) / "results.json"


def check_output(output: Path, source: Source, id_masks: Path | None = None) -> None:
    """Check that the outputs can be written and do not overwrite the input.

    Args:
        output: a video or a folder for drawn frames.
        source: the input.
        id_masks: a folder for id masks.

    Raises:
        VideoError: if an output is neither a video nor a folder, or would overwrite the input.
    """
    is_video = is_video_name(output)
    if output.suffix and not is_video and not output.is_dir():
        raise VideoError(
            f"--output {output}: a video's name ends in one of "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, and a folder's has no dot"
        )
    if is_video and output.is_dir():
        raise VideoError(f"--output {output} is a folder, but has the name of a video")
    check_path("--output", output, source, is_folder=not is_video)
    if id_masks:
        check_path("--id-masks", id_masks, source, is_folder=True)


def check_path(option: str, path: Path, source: Source, *, is_folder: bool) -> None:
    """Check that one output can be written and does not overwrite the input.

    Raises:
        VideoError: if a file or folder that an option names for the output cannot be written, or
            would overwrite the input.
    """
    if is_folder and path.exists() and not path.is_dir():
        raise VideoError(f"{option} {path} is a file: name a folder")
    inputs: set[Path] = set()
    if isinstance(source, VideoFile):
        inputs = {Path(source.path).resolve()}
    elif isinstance(source, FrameFiles):
        inputs = {Path(x).parent.resolve() for x in source.paths}
    if path.resolve() in inputs:
        raise VideoError(f"{option} {path} would overwrite the input: choose another path")


def run_video_command(command: Callable[[], None], threads: int | None) -> None:
    """Run a command; for bad input print one line and exit with status 2.

    Args:
        command: the function to run.
        threads: the value of ``--threads``.
    """
    setup_logging()
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.captureWarnings(True)
    if chosen := set_threads(threads):
        print(f"{chosen} (change it with --threads)")
    try:
        run_command(command)
    except KeyboardInterrupt:
        print("Interrupted before the first frame.", file=sys.stderr)
        sys.exit(130)


def write_tracks(
    stream: "VideoStream",
    source: Source,
    names: Sequence[str],
    args: argparse.Namespace,
    *,
    category_ids: Sequence[int] | None = None,
    results: Path | None = None,
    read_ahead: bool = False,
) -> None:
    """Process a video: write the outputs of ``add_output_arguments``, and the tracks. Ctrl-C keeps
    the frames that are finished by then.

    Args:
        stream: the finished frames of ``source``.
        source: the video; a camera is also shown in a window if there is a screen.
        names: the categories of the stream's labels.
        args: the command line.
        category_ids: their ids in ``results.json`` (default: 1, 2, ...).
        results: file for the tracks (default: ``results.json`` beside the video or in the folder).
        read_ahead: process the next frames while these are drawn and encoded, which helps if the
            network runs on a GPU. On a CPU it already uses all cores.
    """
    outputs = VideoOutputs(
        source,
        names,
        args.output,
        results or results_file(args.output),
        id_masks=args.id_masks,
        trails=args.trails,
        category_ids=category_ids,
    )
    start = time.perf_counter()
    with Interruption() as interruption:
        with ExitStack() as stack:
            bar = stack.enter_context(tqdm(total=source.num_frames, unit="frame", disable=None))
            stack.enter_context(logging_redirect_tqdm())
            stack.enter_context(outputs)
            finished = stack.enter_context(prefetch(stream, 2)) if read_ahead else stream
            for result in interruption.until_signal(finished):
                go_on = outputs.write(result)
                bar.update()
                if not go_on:
                    break
        if interruption.signal and not outputs.num_frames:
            print("Interrupted before the first frame was finished.", file=sys.stderr)
            sys.exit(128 + interruption.signal)
        outputs.finish(stream)
    if interruption.signal:
        print("Interrupted: the finished frames are kept.", file=sys.stderr)
    seconds = time.perf_counter() - start
    print(
        f"{outputs.num_frames} frames in {seconds:.1f} s, "
        f"{outputs.num_frames / seconds:.1f} frames/s"
    )
    print(f"wrote {', '.join(map(str, outputs.paths))}")
    # For a camera, Ctrl-C is the normal end.
    if interruption.signal and not isinstance(source, Camera):
        sys.exit(128 + interruption.signal)
