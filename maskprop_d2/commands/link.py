"""Link the masks of any detector into tracks.

D is a file in COCO's result format, [{"image_id": 0, "category_id": 1, "score": 0.9,
"segmentation": RLE or polygons}, ...], where "image_id" is the index of the frame from 0, or
"file_name" its name; an annotation file of COCO; or a folder of PNGs whose pixel values are
objects.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from ..detections import CocoDetections, IdMaskFolder
from ..errors import InputError
from ..inference.image_detector import category_indices
from ..inference.linking import build_linker
from ..structures import Detections
from ..video import Excerpt, FrameFiles, VideoFile
from ..ytvis.categories import COCO
from .video_io import (
    add_excerpt_arguments,
    add_output_arguments,
    add_source_arguments,
    add_threshold_argument,
    check_output,
    open_source,
    parse_excerpt,
    run_video_command,
    write_tracks,
)


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--detections", type=Path, required=True, metavar="D", help="detections in all frames"
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
    args = parser.parse_args(argv)
    args.excerpt = parse_excerpt(parser, args)
    return args


def open_detections(
    path: Path, video: VideoFile | FrameFiles, class_names: list[str] | None
) -> CocoDetections | IdMaskFolder:
    """Open a file or folder; ``class_names`` as on the command line."""
    if path.is_dir():
        if class_names:
            raise InputError("--class-names: id masks have no categories")
        return IdMaskFolder(path, video)
    if class_names and len(class_names) == 1 and Path(class_names[0]).is_file():
        class_names = Path(class_names[0]).read_text(encoding="utf-8").split("\n")
        class_names = [name.strip() for name in class_names if name.strip()]
    return CocoDetections(path, video, class_names)


def select_labels(class_names: list[str], wanted: list[str] | None) -> list[int]:
    """The labels of ``--classes``. A name of COCO is right even if there is no such detection.

    Raises:
        InputError: for an unknown name.
    """
    found = {name.lower() for name in class_names}
    others = [name for name in COCO.values() if name not in found]
    labels = category_indices([*class_names, *others], wanted)
    return [label for label in labels if label < len(class_names)]


def select_detections(
    detections: CocoDetections | IdMaskFolder,
    frames: Iterator[int],
    labels: list[int],
    min_score: float,
) -> Iterator[Detections]:
    """The detections to link in these frames of the video."""
    for index in frames:
        found = detections.frame(index)
        kept = np.isin(found.labels, labels) & (found.scores >= min_score)
        yield Detections(found.masks[kept], found.scores[kept], found.labels[kept])


def run(args: argparse.Namespace) -> None:
    """Write the outputs, and ``results.json`` beside them."""
    source = open_source(args, args.excerpt)
    check_output(args.output, source, args.id_masks)
    detections = open_detections(args.detections, open_source(args, Excerpt()), args.class_names)
    selected = select_detections(
        detections,
        itertools.count(source.first_index, args.excerpt.stride),
        select_labels(list(detections.class_names), args.classes),
        args.confidence_threshold or 0,
    )

    def take(frames: Tensor) -> list[Detections]:
        # A video file may have fewer frames than its header says, so that ``link``, which wants as
        # many detections as frames, would not do.
        return [next(selected) for _ in frames]

    stream = build_linker(take, tracker=args.tracker, class_names=detections.class_names).stream(
        source
    )
    write_tracks(stream, source, detections.class_names, args, category_ids=detections.category_ids)


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    run_video_command(lambda: run(args))
