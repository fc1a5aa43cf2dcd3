"""Segment and track real objects in a video, without training."""

import argparse
import itertools
from pathlib import Path
from urllib.parse import urlparse

from .. import model_zoo
from ..errors import VideoError
from ..video import Camera, FrameFiles, Source, VideoFile, find_frames
from ..video.writing import VIDEO_SUFFIXES
from .video_io import (
    add_device_argument,
    add_excerpt_arguments,
    add_output_arguments,
    add_threads_argument,
    add_threshold_argument,
    check_output,
    parse_excerpt,
    run_video_command,
    write_tracks,
)

EPILOG = """\
examples:
  maskprop track my_video.mp4
  maskprop track my_video.mp4 --classes person car --trails
  maskprop track rtsp://192.168.0.20/stream --model maskrcnn_resnet50_fpn_v2

"maskprop models" lists the published models. Their weights are downloaded on first use.
"""


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "video",
        metavar="VIDEO",
        help="video file, folder of images, camera number, or address (http://, rtsp://)",
    )
    parser.add_argument(
        "--model",
        metavar="M",
        help="name of a published model, exported model (.pt), or config of a model that you have "
        f"trained (.yaml) (default on this machine: {model_zoo.default_preset().name})",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weights to use instead of the downloaded ones, or of those named in the config",
    )
    add_output_arguments(parser, default="VIDEO's name with _tracks.mp4, beside it")
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", help="categories to track (default: all)"
    )
    add_threshold_argument(parser, "0.5, or that of your trained model")
    parser.add_argument(
        "--short-side",
        type=int,
        metavar="N",
        help="resize frames to this short side for the detector; smaller is faster, but misses "
        "small objects (default: 800, or that of your trained model)",
    )
    parser.add_argument(
        "--tracker", metavar="NAME", help="tracking method, such as maskprop, flow or iou"
    )
    add_excerpt_arguments(parser)
    add_threads_argument(parser)
    add_device_argument(parser)
    args = parser.parse_args(argv)
    if args.short_side is not None and args.short_side < 1:
        parser.error(f"--short-side must be at least 1, not {args.short_side}")
    args.excerpt = parse_excerpt(parser, args)
    return args


def open_video(args: argparse.Namespace) -> Source:
    """Open the file, folder, camera or address."""
    name = args.video
    if Path(name).is_dir():
        return FrameFiles(find_frames([name]), excerpt=args.excerpt)
    if Path(name).exists():
        return VideoFile(name, args.excerpt)
    if name.isdigit():
        return Camera(int(name), args.excerpt)
    address = urlparse(name)
    if address.scheme and address.netloc:
        # A file on a web server has an end and a frame rate; anything else is a live stream.
        if Path(address.path).suffix.lower() in VIDEO_SUFFIXES:
            return VideoFile(name, args.excerpt)
        return Camera(name, args.excerpt)
    raise VideoError(f"there is no video, folder or camera '{name}'")


def default_output(video: str) -> Path:
    """NAME_tracks.mp4 beside a video, or in the current folder for a camera or an address; with a
    number if there is one already."""
    path = Path(video).resolve()
    if path.exists():
        folder, name = path.parent, path.name if path.is_dir() else path.stem
    elif video.isdigit():
        folder, name = Path(), f"camera_{video}"
    else:
        address = urlparse(video)
        folder, name = Path(), Path(address.path).stem or address.hostname or "camera"
    for number in itertools.count(1):
        output = folder / f"{name}_tracks{f'_{number}' if number > 1 else ''}.mp4"
        if not output.exists() and not output.with_suffix(".json").exists():
            break
    return output


def run(args: argparse.Namespace) -> None:
    """Write the outputs."""
    source = open_video(args)
    results = None
    if args.output is None:
        args.output = default_output(args.video)
        results = args.output.with_suffix(".json")
    check_output(args.output, source, args.id_masks)
    options = model_zoo.ModelOptions(
        weights=args.weights,
        score_threshold=args.confidence_threshold,
        categories=args.classes,
        short_side=args.short_side,
        tracker=args.tracker,
        device=args.device,
    )
    segmenter = model_zoo.load_model(args.model or model_zoo.default_preset().name, options)
    if isinstance(source, Camera):
        # Waiting for a batch of frames would delay the output.
        segmenter.frames_per_batch = 1
    on_gpu = segmenter.network.device.type == "cuda"
    stream = segmenter.stream(source)
    write_tracks(
        stream, source, segmenter.network.class_names, args, results=results, read_ahead=on_gpu
    )


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    run_video_command(lambda: run(args), args.threads)
