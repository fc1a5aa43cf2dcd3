"""Link the masks of any detector into tracks.

D is one of
  - a file in COCO's result format: [{"image_id": 0, "category_id": 1, "score": 0.9,
    "segmentation": RLE or polygons}, ...]. "image_id" is the index of the frame, from 0; or
    "file_name" names its image.
  - a file in COCO's annotation format.
  - a folder of id masks: PNGs in which the value of a pixel is the number of its object.
"""

import argparse
from pathlib import Path

from ..errors import InputError
from ..inference.saved_detections import link_saved_detections, open_detections
from ..video import Excerpt
from .video_io import (
    add_excerpt_arguments,
    add_output_arguments,
    add_source_arguments,
    add_threads_argument,
    add_threshold_argument,
    check_output,
    open_source,
    parse_excerpt,
    read_class_names,
    results_file,
    run_video_command,
    write_tracks,
)


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--detections", type=Path, required=True, metavar="D", help="file or folder; see above"
    )
    add_source_arguments(parser)
    add_output_arguments(parser)
    parser.add_argument(
        "--tracker",
        default="maskprop",
        metavar="NAME",
        help="tracking method, such as maskprop, flow or iou (default: maskprop)",
    )
    add_threshold_argument(parser, "keep all")
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", help="categories to track (default: all)"
    )
    parser.add_argument(
        "--class-names",
        nargs="+",
        metavar="NAME",
        help="names of the categories in the order of their ids, or a file with a name per line "
        "(default: those in the detections, or COCO's)",
    )
    add_excerpt_arguments(parser)
    add_threads_argument(parser)
    args = parser.parse_args(argv)
    args.excerpt = parse_excerpt(parser, args)
    return args


def run(args: argparse.Namespace) -> None:
    """Write the outputs, and ``results.json`` beside them."""
    source = open_source(args, args.excerpt)
    check_output(args.output, source, args.id_masks)
    if results_file(args.output).resolve() == args.detections.resolve():
        raise InputError(f"--output {args.output}: {args.detections} would be overwritten")
    whole = open_source(args, Excerpt())
    detections = open_detections(args.detections, whole, read_class_names(args.class_names))
    stream = link_saved_detections(
        detections,
        source,
        args.excerpt.stride,
        tracker=args.tracker,
        categories=args.classes,
        min_score=args.confidence_threshold or 0,
    )
    write_tracks(stream, source, detections.class_names, args, category_ids=detections.category_ids)


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    run_video_command(lambda: run(args), args.threads)
