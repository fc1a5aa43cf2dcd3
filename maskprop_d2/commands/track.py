"""Segment and track real objects in videos, without training."""

import argparse
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlparse

from .. import model_zoo
from ..errors import VideoError
from ..inference import VideoSegmenter
from ..inference.streams import track_streams
from ..video import Camera, Excerpt, FrameFiles, Source, VideoFile, find_frames
from ..video.writing import VIDEO_SUFFIXES, is_video_name
from .arguments import at_least
from .streams import write_streams
from .video_io import (
    add_device_argument,
    add_excerpt_arguments,
    add_output_arguments,
    add_threads_argument,
    add_threshold_argument,
    check_output,
    check_path,
    parse_excerpt,
    run_video_command,
    write_tracks,
)
from .video_outputs import VideoOutputs

EPILOG = """\
examples:
  maskprop track my_video.mp4
  maskprop track my_video.mp4 --classes person car --trails
  maskprop track 0 rtsp://192.168.0.20/stream my_video.mp4 --output tracked
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
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="video file, folder of images, camera number, or address (http://, rtsp://); several "
        "are processed side by side",
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
    add_output_arguments(
        parser,
        default="VIDEO's name with _tracks.mp4, beside it; for several "
        "videos, a folder for these files",
    )
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", help="categories to track (default: all)"
    )
    add_threshold_argument(parser, "0.5, or that of your trained model")
    parser.add_argument(
        "--short-side",
        type=at_least(1),
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
    args.excerpt = parse_excerpt(parser, args)
    return args


def open_video(name: str, excerpt: Excerpt) -> Source:
    """Open the file, folder, camera or address."""
    if Path(name).is_dir():
        return FrameFiles(find_frames([name]), excerpt=excerpt)
    if Path(name).exists():
        return VideoFile(name, excerpt)
    if name.isdigit():
        return Camera(int(name), excerpt)
    address = urlparse(name)
    if address.scheme and address.netloc:
        # A file on a web server has an end and a frame rate; anything else is a live stream.
        if Path(address.path).suffix.lower() in VIDEO_SUFFIXES:
            return VideoFile(name, excerpt)
        return Camera(name, excerpt)
    raise VideoError(f"there is no video, folder or camera '{name}'")


def default_output(
    video: str,
    output_folder: Path | None = None,
    *,
    whole_address: bool = False,
    taken: Sequence[Path] = (),
) -> Path:
    """NAME_tracks.mp4, with a number if there is one already.

    Args:
        video: the video, camera or address.
        output_folder: where it is (default: beside a video, or in the current folder for a camera
            or an address).
        whole_address: an address is named by all of it but user and password, not only by the end
            of the path.
        taken: outputs of other videos.
    """
    path = Path(video).resolve()
    if path.exists():
        folder, name = path.parent, path.name if path.is_dir() else path.stem
    elif video.isdigit():
        folder, name = Path.cwd(), f"camera_{video}"
    else:
        address = urlparse(video)
        folder, name = Path.cwd(), Path(address.path).stem or address.hostname or "camera"
        if whole_address:
            host = address.netloc.rpartition("@")[2]
            name = "_".join(re.findall(r"[\w.-]+", f"{host} {address.path} {address.query}"))
    folder = output_folder or folder
    for stem in numbered(f"{name}_tracks"):
        output = folder / f"{stem}.mp4"
        files = output, output.with_suffix(".json")
        if output not in taken and not any(file.exists() for file in files):
            break
    return output


def default_outputs(videos: list[str], folder: Path | None) -> list[Path]:
    """The ``default_output`` of each of several videos, all different."""
    short = [default_output(video, folder) for video in videos]
    outputs: list[Path] = []
    for video, output in zip(videos, short, strict=True):
        # Many cameras have the same path at different hosts.
        several = short.count(output) > 1
        outputs.append(default_output(video, folder, whole_address=several, taken=outputs))
    return outputs


def id_mask_folders(folder: Path, outputs: list[Path]) -> list[Path]:
    """A folder in ``folder`` for the id masks of each of several videos, named as its output."""
    folders: list[Path] = []
    for output in outputs:
        paths = (folder / name for name in numbered(output.stem))
        folders.append(next(path for path in paths if path not in folders))
    return folders


def numbered(name: str) -> Iterator[str]:
    """NAME, NAME_2, NAME_3, ..."""
    yield name
    for number in itertools.count(2):
        yield f"{name}_{number}"


def load_segmenter(args: argparse.Namespace, sources: list[Source]) -> VideoSegmenter:
    """Load the model."""
    options = model_zoo.ModelOptions(
        weights=args.weights,
        score_threshold=args.confidence_threshold,
        categories=args.classes,
        short_side=args.short_side,
        tracker=args.tracker,
        device=args.device,
    )
    segmenter = model_zoo.load_model(args.model or model_zoo.default_preset().name, options)
    if any(isinstance(source, Camera) for source in sources):
        # Waiting for a batch of frames would delay the output.
        segmenter.frames_per_batch = 1
    return segmenter


def run(args: argparse.Namespace) -> None:
    """Write the outputs."""
    sources = [open_video(video, args.excerpt) for video in args.videos]
    if len(sources) > 1:
        run_together(args, sources)
        return
    (source,) = sources
    results = None
    if args.output is None:
        args.output = default_output(args.videos[0])
        results = args.output.with_suffix(".json")
    check_output(args.output, source, args.id_masks)
    segmenter = load_segmenter(args, sources)
    on_gpu = segmenter.network.device.type == "cuda"
    stream = segmenter.stream(source)
    write_tracks(
        stream, source, segmenter.network.class_names, args, results=results, read_ahead=on_gpu
    )


def run_together(args: argparse.Namespace, sources: list[Source]) -> None:
    """Write the outputs of several videos."""
    folder: Path | None = args.output
    if folder and is_video_name(folder) and not folder.is_dir():
        raise VideoError(f"--output {folder}: for several videos, name a folder")
    outputs = default_outputs(args.videos, folder)
    id_masks: Sequence[Path | None] = [None] * len(outputs)
    if args.id_masks:
        id_masks = id_mask_folders(args.id_masks, outputs)
    for source, output, masks in zip(sources, outputs, id_masks, strict=True):
        if folder:
            check_path("--output", folder, source, is_folder=True)
        if args.id_masks:
            check_path("--id-masks", args.id_masks, source, is_folder=True)
        check_output(output, source, masks)
    segmenter = load_segmenter(args, sources)
    names = segmenter.network.class_names
    written = [
        VideoOutputs(
            source,
            names,
            output,
            output.with_suffix(".json"),
            id_masks=masks,
            trails=args.trails,
            title=video,
        )
        for source, output, masks, video in zip(
            sources, outputs, id_masks, args.videos, strict=True
        )
    ]
    on_gpu = segmenter.network.device.type == "cuda"
    streams = track_streams(segmenter, sources)
    write_streams(streams, args.videos, sources, written, read_ahead=on_gpu)


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    run_video_command(lambda: run(args), args.threads)
