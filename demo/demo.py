#!/usr/bin/env python3
"""Segment, classify and track the objects of a video."""

import argparse
import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskprop_d2.errors import InputError
from maskprop_d2.inference import (
    Camera,
    FrameFiles,
    VideoError,
    VideoFile,
    VideoSegmenter,
    find_frames,
)
from maskprop_d2.inference.drawing import draw_tracks
from maskprop_d2.inference.results import as_results
from maskprop_d2.inference.writer import VIDEO_SUFFIXES, FrameFolderWriter, VideoWriter


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--config-file", metavar="F", help="a model's config; needs Detectron2")
    model.add_argument("--model", metavar="M", help="an exported model; needs no Detectron2")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video-input", metavar="V", help="a video file")
    source.add_argument("--input", nargs="+", help="frames: files, patterns or a folder")
    source.add_argument("--webcam", action="store_true", help="a camera, until Ctrl-C")
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
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")
    args = parser.parse_args(argv)
    if args.confidence_threshold is not None and not 0 <= args.confidence_threshold <= 1:
        parser.error(f"--confidence-threshold must be in 0..1, not {args.confidence_threshold}")
    if args.model and args.opts:
        parser.error("--opts changes a config: an exported model has none")
    return args


def check_output(output: Path, source: VideoFile | FrameFiles | Camera) -> None:
    """
    Raises:
        VideoError: if it is neither a video's name nor a folder's, or would overwrite the input.
    """
    if output.suffix and output.suffix.lower() not in VIDEO_SUFFIXES and not output.is_dir():
        raise VideoError(
            f"--output {output}: a video's name ends in one of "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, and a folder's has no dot"
        )
    inputs: list[Path] = []
    if isinstance(source, VideoFile):
        inputs = [Path(source.path)]
    elif isinstance(source, FrameFiles):
        inputs = [Path(path).parent for path in source.paths]
    if output.resolve() in {path.resolve() for path in inputs}:
        raise VideoError(f"--output {output} would overwrite the input: name another place")


def open_source(args: argparse.Namespace) -> VideoFile | FrameFiles | Camera:
    """What the command line names."""
    if args.webcam:
        return Camera()
    return VideoFile(args.video_input) if args.video_input else FrameFiles(find_frames(args.input))


def load_model(args: argparse.Namespace) -> tuple[VideoSegmenter, list[str]]:
    """The segmenter that the command line names, and its category names."""
    if args.model:
        segmenter = VideoSegmenter.from_exported(
            args.model, score_threshold=args.confidence_threshold
        )
        return segmenter, segmenter.network.class_names
    try:
        from maskprop_d2.engine import build_segmenter, class_names, load_config
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
    check_output(output, source)
    to_file = output.suffix.lower() in VIDEO_SUFFIXES
    segmenter, names = load_model(args)
    stream = segmenter.stream(source)
    start, frames = time.perf_counter(), 0
    writer = VideoWriter(output, source.fps) if to_file else FrameFolderWriter(output)
    with tqdm(total=source.num_frames, unit="frame") as bar:
        try:
            with writer:
                for result in stream:
                    labels = [names[label] for label in result.labels]
                    drawn = draw_tracks(
                        result.frame, result.masks, result.track_ids, labels, result.scores
                    )
                    writer.write(drawn)
                    bar.update()
                    frames += 1
        except KeyboardInterrupt:
            print("\nInterrupted: keeping what is finished.", file=sys.stderr)
    results_path = (output.parent if to_file else output) / "results.json"
    save_results(stream.tracks().as_dict(), names, results_path)
    seconds = time.perf_counter() - start
    print(f"{frames} frames in {seconds:.1f} s, {frames / seconds:.1f} frames/s")
    print(f"wrote {output} and {results_path}")


def save_results(tracks: dict[str, Any], names: list[str], path: Path) -> None:
    """Write the tracks in YouTube-VIS's format: video 1, categories from 1 as in ``names``."""
    to_dataset_id = {i: i + 1 for i in range(len(names))}
    entries = as_results(1, tracks, to_dataset_id)
    for entry, track_id in zip(entries, tracks["track_ids"], strict=True):
        entry["track_id"] = track_id
        entry["category_name"] = names[entry["category_id"] - 1]
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(entries))
    os.replace(partial, path)


def main(argv: list[str] | None = None) -> None:
    """The command: one clear line and exit status 2 for input that cannot be used."""
    args = parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.captureWarnings(True)
    # Of Detectron2's code: nothing that one could do about.
    warnings.filterwarnings("ignore", "torch.meshgrid")
    try:
        run(args)
    except (InputError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
