"""Segment, classify and track the objects of a video with a trained MaskProp model."""

import argparse

from ..devices import choose_device
from ..errors import InputError
from ..inference import VideoSegmenter
from ..model_zoo import find_preset
from ..video import Camera
from .video_io import (
    add_device_argument,
    add_excerpt_arguments,
    add_output_arguments,
    add_source_arguments,
    add_threads_argument,
    add_threshold_argument,
    check_output,
    open_source,
    parse_excerpt,
    run_video_command,
    write_tracks,
)


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--config-file", metavar="F", help="config of a model; needs Detectron2")
    model.add_argument("--model", metavar="M", help="exported model; needs no Detectron2")
    add_source_arguments(parser).add_argument(
        "--webcam",
        nargs="?",
        const="0",
        metavar="C",
        help="camera number (default: 0) or address (rtsp://...); stop with Ctrl-C",
    )
    add_output_arguments(parser)
    add_threshold_argument(parser, "the model's threshold")
    add_excerpt_arguments(parser)
    add_threads_argument(parser)
    add_device_argument(parser)
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")
    args = parser.parse_args(argv)
    if args.model and args.opts:
        parser.error("--opts changes a config: an exported model has none")
    args.excerpt = parse_excerpt(parser, args)
    return args


def load_model(args: argparse.Namespace) -> tuple[VideoSegmenter, list[str]]:
    """The segmenter and its category names."""
    if args.model:
        preset = find_preset(args.model)
        path = preset.url if preset and preset.kind == "exported" else args.model
        segmenter = VideoSegmenter.from_exported(
            path, score_threshold=args.confidence_threshold, device=args.device
        )
        return segmenter, segmenter.network.class_names
    try:
        from ..engine import build_segmenter, class_names, load_config
    except ModuleNotFoundError as error:
        raise InputError(
            f"--config-file needs {error.name}, which is not installed: only an exported model "
            "(--model) runs without it (maskprop install-detectron2 installs Detectron2)"
        ) from error
    if args.device is not None:
        args.opts += ["MODEL.DEVICE", str(choose_device(args.device))]
    if args.confidence_threshold is not None:
        args.opts += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", str(args.confidence_threshold)]
    cfg = load_config(args.config_file, args.opts)
    return build_segmenter(cfg), class_names(cfg)


def run(args: argparse.Namespace) -> None:
    """Write the outputs, and ``results.json`` beside them."""
    if args.webcam:
        source = Camera(int(args.webcam) if args.webcam.isdigit() else args.webcam, args.excerpt)
    else:
        source = open_source(args, args.excerpt)
    check_output(args.output, source, args.id_masks)
    segmenter, names = load_model(args)
    if args.webcam:
        # Waiting for a batch of frames would delay the output.
        segmenter.frames_per_batch = 1
    on_gpu = segmenter.network.device.type == "cuda"
    write_tracks(segmenter.stream(source), source, names, args, read_ahead=on_gpu)


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    run_video_command(lambda: run(args), args.threads)
