"""Segment, classify and track the objects of a video."""

import argparse
import logging
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import InputError, VideoError, run_command
from ..inference import VideoSegmenter
from ..structures import VideoTrack
from ..video import Camera, Excerpt, FrameFiles, VideoFile, find_frames
from ..video.drawing import Trails, draw_tracks
from ..video.id_masks import IdMaskWriter, draw_id_mask
from ..video.prefetch import prefetch
from ..video.window import open_window
from ..video.writing import VIDEO_SUFFIXES, FrameFolderWriter, VideoWriter
from ..ytvis.writing import write_results
from .interruption import Interruption


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--config-file", metavar="F", help="a model's config; needs Detectron2")
    model.add_argument("--model", metavar="M", help="an exported model; needs no Detectron2")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video-input", metavar="V", help="a video file")
    source.add_argument("--input", nargs="+", help="frames: files, patterns or a folder")
    source.add_argument(
        "--webcam",
        nargs="?",
        const="0",
        metavar="C",
        help="a camera, until Ctrl-C: its number (default: 0) or its address, as rtsp://...",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="O",
        help=f"a video file ({', '.join(sorted(VIDEO_SUFFIXES))}) or a folder of images",
    )
    parser.add_argument(
        "--confidence-threshold",
        type=float,
        metavar="X",
        help="leave out detections with a lower score (default: the model's)",
    )
    parser.add_argument(
        "--start", type=float, default=0, metavar="S", help="seconds to leave out at the beginning"
    )
    parser.add_argument(
        "--duration", type=float, metavar="S", help="seconds to take (default: all)"
    )
    parser.add_argument(
        "--stride", type=int, default=1, metavar="N", help="take every N-th frame (default: 1)"
    )
    parser.add_argument(
        "--trails", action="store_true", help="draw each object's way of the last second"
    )
    parser.add_argument(
        "--id-masks",
        type=Path,
        metavar="DIR",
        help="a folder for a PNG a frame too, whose pixel values are the objects' ids, from 1",
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


def check_output(args: argparse.Namespace, source: VideoFile | FrameFiles | Camera) -> None:
    """
    Raises:
        VideoError: if it is neither a video's name nor a folder's, or would overwrite the input.
    """
    output = Path(args.output)
    if output.suffix and output.suffix.lower() not in VIDEO_SUFFIXES and not output.is_dir():
        raise VideoError(
            f"--output {output}: a video's name ends in one of "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, and a folder's has no dot"
        )
    if output.suffix.lower() in VIDEO_SUFFIXES and output.is_dir():
        raise VideoError(f"--output {output} is a folder, but has the name of a video")
    folders = {"--id-masks": args.id_masks}
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        folders["--output"] = output
    for option, place in folders.items():
        if place and place.exists() and not place.is_dir():
            raise VideoError(f"{option} {place} is a file: name a folder")
    inputs: list[Path] = []
    if isinstance(source, VideoFile):
        inputs = [Path(source.path)]
    elif isinstance(source, FrameFiles):
        inputs = [Path(path).parent for path in source.paths]
    for option, place in (("--output", output), ("--id-masks", args.id_masks)):
        if place and place.resolve() in {path.resolve() for path in inputs}:
            raise VideoError(f"{option} {place} would overwrite the input: name another place")


def open_source(args: argparse.Namespace) -> VideoFile | FrameFiles | Camera:
    """What the command line names."""
    if args.webcam:
        return Camera(int(args.webcam) if args.webcam.isdigit() else args.webcam, args.excerpt)
    if args.video_input:
        return VideoFile(args.video_input, args.excerpt)
    return FrameFiles(find_frames(args.input), excerpt=args.excerpt)


def load_model(args: argparse.Namespace) -> tuple[VideoSegmenter, list[str]]:
    """The segmenter that the command line names, and its category names."""
    if args.model:
        segmenter = VideoSegmenter.from_exported(
            args.model, score_threshold=args.confidence_threshold
        )
        return segmenter, segmenter.network.class_names
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
    return build_segmenter(cfg), class_names(cfg)


def run(args: argparse.Namespace) -> None:
    """From the source to the annotated video and the results beside it."""
    source = open_source(args)
    output = Path(args.output)
    check_output(args, source)
    to_file = output.suffix.lower() in VIDEO_SUFFIXES
    segmenter, names = load_model(args)
    if args.webcam:
        # So that nothing but the window of frames delays what is shown.
        segmenter.frames_per_batch = 1
    stream = segmenter.stream(source)
    start, frames = time.perf_counter(), 0
    writer = VideoWriter(output, source.fps) if to_file else FrameFolderWriter(output)
    id_masks = IdMaskWriter(args.id_masks, getattr(source, "names", ())) if args.id_masks else None
    trails = Trails(length=max(1, round(source.fps))) if args.trails else None
    window = open_window("MaskProp") if args.webcam else None
    results_path = (output.parent if to_file else output) / "results.json"
    with Interruption() as interruption:
        bar = tqdm(total=source.num_frames, unit="frame")
        # A GPU goes on with the next frames while these are drawn and encoded. A CPU that the
        # network fills would only lose time by doing both at once.
        on_gpu = segmenter.network.device.type == "cuda"
        finished = prefetch(stream, 2) if on_gpu else nullcontext(stream)
        with bar, logging_redirect_tqdm(), writer, finished as results:
            for result in interruption.ends(results):
                labels = [names[label] for label in result.labels]
                tracks = result.masks, result.track_ids, labels, result.scores
                drawn = draw_tracks(result.frame, *tracks, trails)
                writer.write(drawn, source.timestamps.popleft() if args.webcam else None)
                if id_masks:
                    size = result.frame.shape[:2]
                    id_masks.write(
                        draw_id_mask(result.masks, result.track_ids, result.scores, *size)
                    )
                bar.update()
                frames += 1
                if window and not window.show(drawn):
                    break
        if interruption.signal and not frames:
            print("Interrupted before the first frame was finished.", file=sys.stderr)
            sys.exit(128 + interruption.signal)
        save_results(stream.each_track(frames), names, results_path)
        if interruption.signal:
            print("Interrupted: what was finished is kept.", file=sys.stderr)
    seconds = time.perf_counter() - start
    print(f"{frames} frames in {seconds:.1f} s, {frames / seconds:.1f} frames/s")
    written = [output, results_path, *([args.id_masks] if id_masks else [])]
    print(f"wrote {', '.join(str(x) for x in written)}")
    # A camera has no other end.
    if interruption.signal and not args.webcam:
        sys.exit(128 + interruption.signal)


def save_results(tracks: Iterable[VideoTrack], names: list[str], path: Path) -> None:
    """Write the tracks in YouTube-VIS's format: video 1, categories from 1 as in ``names``."""
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
    """The command: one clear line and exit status 2 for input that cannot be used."""
    args = parse_args(argv, prog)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.captureWarnings(True)
    try:
        run_command(lambda: run(args))
    except KeyboardInterrupt:
        print("Interrupted before the first frame.", file=sys.stderr)
        sys.exit(130)
