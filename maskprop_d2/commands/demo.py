"""Segment, classify and track the objects of a video."""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import InputError, VideoError, run_command
from ..inference import VideoSegmenter
from ..structures import FrameResult, VideoTrack
from ..video import Camera, Excerpt, FrameFiles, Source, VideoFile, find_frames
from ..video.drawing import Trails, draw_tracks
from ..video.id_masks import IdMaskWriter, draw_id_mask
from ..video.prefetch import prefetch
from ..video.window import open_window
from ..video.writing import VIDEO_SUFFIXES, FrameFolderWriter, VideoWriter, is_video_name
from ..ytvis.writing import write_results
from .interruption import Interruption
from .log_setup import setup_logging

Sink = Callable[[FrameResult, np.ndarray], bool]
"""Receives a finished frame and its drawing, (H, W, 3) uint8 RGB. Returns False to stop."""


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--config-file", metavar="F", help="config of a model; needs Detectron2")
    model.add_argument("--model", metavar="M", help="exported model; needs no Detectron2")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video-input", metavar="V", help="video file")
    source.add_argument("--input", nargs="+", help="frames: image files, glob patterns or a folder")
    source.add_argument(
        "--webcam",
        nargs="?",
        const="0",
        metavar="C",
        help="camera number (default: 0) or URL like rtsp://...; stop with Ctrl-C",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="O",
        help=f"video file ({', '.join(sorted(VIDEO_SUFFIXES))}) or folder for images",
    )
    parser.add_argument(
        "--confidence-threshold",
        type=float,
        metavar="X",
        help="drop detections scored below this (default: the model's threshold)",
    )
    parser.add_argument(
        "--start", type=float, default=0, metavar="S", help="skip the first S seconds"
    )
    parser.add_argument(
        "--duration", type=float, metavar="S", help="process S seconds (default: all)"
    )
    parser.add_argument(
        "--stride", type=int, default=1, metavar="N", help="process every N-th frame (default: 1)"
    )
    parser.add_argument(
        "--trails", action="store_true", help="draw the path of each object in the last second"
    )
    parser.add_argument(
        "--id-masks",
        type=Path,
        metavar="DIR",
        help="also write one PNG per frame to this folder, with object ids from 1 as pixel values",
    )
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")
    args = parser.parse_args(argv)
    if args.confidence_threshold is not None and not 0 <= args.confidence_threshold <= 1:
        parser.error(f"--confidence-threshold must be in 0..1, not {args.confidence_threshold}")
    if args.model and args.opts:
        parser.error("--opts changes a config: an exported model has none")
    try:
        args.excerpt = Excerpt(args.start, args.duration, args.stride)
    except ValueError as error:
        parser.error(str(error))
    return args


def open_source(args: argparse.Namespace) -> Source:
    """Open the video, images or camera."""
    if args.webcam:
        return Camera(int(args.webcam) if args.webcam.isdigit() else args.webcam, args.excerpt)
    if args.video_input:
        return VideoFile(args.video_input, args.excerpt)
    return FrameFiles(find_frames(args.input), excerpt=args.excerpt)


def check_output(args: argparse.Namespace, source: Source) -> None:
    """
    Raises:
        VideoError: if an output is neither a video nor a folder, or would overwrite the input.
    """
    is_video = is_video_name(args.output)
    if args.output.suffix and not is_video and not args.output.is_dir():
        raise VideoError(
            f"--output {args.output}: a video's name ends in one of "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, and a folder's has no dot"
        )
    if is_video and args.output.is_dir():
        raise VideoError(f"--output {args.output} is a folder, but has the name of a video")
    inputs: set[Path] = set()
    if isinstance(source, VideoFile):
        inputs = {Path(source.path).resolve()}
    elif isinstance(source, FrameFiles):
        inputs = {Path(path).parent.resolve() for path in source.paths}
    for option, path in (("--output", args.output), ("--id-masks", args.id_masks)):
        if path is None:
            continue
        is_folder = option == "--id-masks" or not is_video
        if is_folder and path.exists() and not path.is_dir():
            raise VideoError(f"{option} {path} is a file: name a folder")
        if path.resolve() in inputs:
            raise VideoError(f"{option} {path} would overwrite the input: choose another path")


def load_model(args: argparse.Namespace) -> tuple[VideoSegmenter, list[str]]:
    """The segmenter and its category names."""
    if args.model:
        segmenter = VideoSegmenter.from_exported(
            args.model, score_threshold=args.confidence_threshold
        )
        names = segmenter.network.class_names
    else:
        try:
            from ..engine import build_segmenter, class_names, load_config
        except ModuleNotFoundError as error:
            raise InputError(
                f"--config-file needs {error.name}, which is not installed: only an exported model "
                "(--model) runs without it"
            ) from error
        if args.confidence_threshold is not None:
            args.opts += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", str(args.confidence_threshold)]
        cfg = load_config(args.config_file, args.opts)
        segmenter, names = build_segmenter(cfg), class_names(cfg)
    if args.webcam:
        # Waiting for a batch of frames would delay the output.
        segmenter.frames_per_batch = 1
    return segmenter, names


def open_sinks(args: argparse.Namespace, source: Source, stack: ExitStack) -> list[Sink]:
    """The outputs of the command; they are complete when ``stack`` is closed."""
    writer: VideoWriter | FrameFolderWriter = FrameFolderWriter(args.output)
    if is_video_name(args.output):
        writer = stack.enter_context(VideoWriter(args.output, source.fps))
    timestamps = source.timestamps if isinstance(source, Camera) else None

    def write_drawn(result: FrameResult, drawn: np.ndarray) -> bool:
        writer.write(drawn, timestamps.popleft() if timestamps else None)
        return True

    sinks: list[Sink] = [write_drawn]
    if args.id_masks:
        id_masks = IdMaskWriter(args.id_masks, getattr(source, "names", ()))

        def write_id_mask(result: FrameResult, drawn: np.ndarray) -> bool:
            size = result.frame.shape[:2]
            id_masks.write(draw_id_mask(result.masks, result.track_ids, result.scores, *size))
            return True

        sinks.append(write_id_mask)
    if args.webcam and (window := open_window("MaskProp")):
        sinks.append(lambda result, drawn: window.show(drawn))
    return sinks


def run(args: argparse.Namespace) -> None:
    """Write the outputs, and ``results.json`` beside them."""
    source = open_source(args)
    check_output(args, source)
    segmenter, names = load_model(args)
    trails = Trails(length=max(1, round(source.fps))) if args.trails else None
    stream = segmenter.stream(source)
    start, num_frames = time.perf_counter(), 0
    with Interruption() as interruption:
        with ExitStack() as stack:
            bar = stack.enter_context(tqdm(total=source.num_frames, unit="frame"))
            stack.enter_context(logging_redirect_tqdm())
            sinks = open_sinks(args, source, stack)
            # A GPU can process the next frames while these are drawn and encoded. On a CPU the
            # network already uses all cores.
            on_gpu = segmenter.network.device.type == "cuda"
            results = stack.enter_context(prefetch(stream, 2)) if on_gpu else stream
            for result in interruption.until_signal(results):
                labels = [names[label] for label in result.labels]
                tracks = result.masks, result.track_ids, labels, result.scores
                drawn = draw_tracks(result.frame, *tracks, trails)
                go_on = [sink(result, drawn) for sink in sinks]
                bar.update()
                num_frames += 1
                if not all(go_on):
                    break
        if interruption.signal and not num_frames:
            print("Interrupted before the first frame was finished.", file=sys.stderr)
            sys.exit(128 + interruption.signal)
        folder = args.output.parent if is_video_name(args.output) else args.output
        save_results(stream.iter_tracks(num_frames), names, folder / "results.json")
    if interruption.signal:
        print("Interrupted: the finished frames are kept.", file=sys.stderr)
    seconds = time.perf_counter() - start
    print(f"{num_frames} frames in {seconds:.1f} s, {num_frames / seconds:.1f} frames/s")
    written = [args.output, folder / "results.json", *filter(None, [args.id_masks])]
    print(f"wrote {', '.join(map(str, written))}")
    # For a camera, Ctrl-C is the normal end.
    if interruption.signal and not args.webcam:
        sys.exit(128 + interruption.signal)


def save_results(tracks: Iterable[VideoTrack], names: list[str], path: Path) -> None:
    """Write tracks in the YouTube-VIS format, as video 1 with category ids 1, 2, ... for
    ``names``."""
    write_results(
        (
            {
                "video_id": 1,
                "category_id": track.label + 1,
                "score": track.score,
                "segmentations": track.masks,
                "track_id": track.track_id,
                "category_name": names[track.label],
            }
            for track in tracks
        ),
        path,
    )


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    setup_logging()
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.captureWarnings(True)
    try:
        run_command(lambda: run(args))
    except KeyboardInterrupt:
        print("Interrupted before the first frame.", file=sys.stderr)
        sys.exit(130)
