"""Track the objects in thousands of videos, with any number of processes and machines.

INPUT is a video, a folder of videos or of folders of images, a glob pattern, a text list (.txt), or
an address such as s3://bucket/folder. Each video gets a folder in DIR/videos. Stop the command, or
kill it, at any moment: the same command goes on with the videos that are not finished.
"""

import argparse
import math
import sys
import time
from dataclasses import replace
from functools import partial

from ..archive.inputs import Video, absolute, absolute_pattern, detections_address, find_videos
from ..archive.jobs import Job, default_workers
from ..archive.local_engine import process_locally
from ..archive.ray_engine import process_on_ray
from ..archive.run import Engine, Report, run_archive
from ..archive.settings import Settings
from ..archive.storage import FAILED, PARTIAL, VIDEOS
from ..errors import run_command
from ..threads import available_cores
from .arguments import at_least
from .log_setup import setup_logging
from .video_io import (
    add_excerpt_arguments,
    add_threshold_argument,
    parse_excerpt,
    read_class_names,
)

SHOWN_FAILURES = 10
TIMEOUT = 1800
EPILOG = """\
examples:
  maskprop run videos/ --output out --workers 4
  maskprop run s3://bucket/videos --output s3://bucket/tracks --format parquet
  maskprop run videos/ --output out --detections 'detections/{stem}.json'
  maskprop run list.txt --output out --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
"""


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="videos; see above")
    parser.add_argument("--output", required=True, metavar="DIR", help="output folder or address")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="M", help="as for maskprop track")
    what.add_argument(
        "--detections",
        metavar="PATTERN",
        help="link these detections, as maskprop link does, instead of running a model; {stem}, "
        "{parent} and {folder} stand for the name of the video without suffix, and the name and "
        "path of the folder it is in",
    )
    parser.add_argument("--weights", metavar="FILE", help="as for maskprop track")
    parser.add_argument("--short-side", type=at_least(1), metavar="N", help="as for maskprop track")
    parser.add_argument("--tracker", metavar="NAME", help="tracking method")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="categories to track")
    parser.add_argument(
        "--class-names",
        nargs="+",
        metavar="NAME",
        help="names of the categories in --detections, as for maskprop link",
    )
    add_threshold_argument(parser, "0.5, or that of your trained model; with --detections, 0")
    add_excerpt_arguments(parser)
    parser.add_argument(
        "--format",
        nargs="+",
        choices=("json", "parquet"),
        default=["json"],
        help="write tracks as YouTube-VIS json, as Parquet, or as both (default: json)",
    )
    parser.add_argument("--video", action="store_true", help="also write videos with the tracks")
    parser.add_argument("--id-masks", action="store_true", help="also write a PNG per frame")
    parser.add_argument(
        "--workers",
        type=at_least(1),
        metavar="N",
        help="worker processes (default: one for each GPU, or for each 4 cores)",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where the workers run: on this machine, or on a cluster of Ray (default: local)",
    )
    parser.add_argument(
        "--address",
        metavar="A",
        help="of a cluster of Ray, such as auto or ray://head:10001 (default: this machine alone)",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(0, 1),
        metavar="I/N",
        help="process only part I, from 0 to N-1, of the videos; run the other parts anywhere",
    )
    parser.add_argument(
        "--retries",
        type=at_least(0),
        default=2,
        metavar="N",
        help="how often a video is tried again if it fails for a reason outside the video "
        "(default: 2); with --engine ray, Ray also repeats lost tasks",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help="a video fails if no frame is finished for S seconds (default: 1800; none with "
        "--engine ray)",
    )
    parser.add_argument(
        "--cpus-per-worker",
        type=at_least(1),
        metavar="N",
        help="cores of each worker on Ray (default: those that the cluster has now, shared out)",
    )
    parser.add_argument(
        "--gpus-per-worker",
        type=_positive,
        metavar="X",
        help="GPUs of each worker on Ray, such as 1 or 0.5 (default: those that the cluster has "
        "now, shared out)",
    )
    args = parser.parse_args(argv)
    args.excerpt = parse_excerpt(parser, args)
    if args.detections and (args.weights or args.short_side):
        parser.error("--weights and --short-side are options of a model, not of --detections")
    if args.address and args.engine != "ray":
        parser.error("--address is the one of a cluster: it needs --engine ray")
    if args.engine != "ray" and (args.cpus_per_worker or args.gpus_per_worker):
        parser.error("--cpus-per-worker and --gpus-per-worker need --engine ray")
    if args.timeout is not None and args.engine == "ray":
        parser.error("--timeout is not for --engine ray")
    if args.class_names and not args.detections:
        parser.error("--class-names names the categories of --detections")
    return args


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be positive, not {text}")
    return value


def _shard(text: str) -> tuple[int, int]:
    try:
        index, count = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be I/N, such as 0/4, not {text}") from None
    if not 0 <= index < count:
        raise argparse.ArgumentTypeError(f"{text}: of {count} parts, I is 0 to {count - 1}")
    return index, count


def read_settings(args: argparse.Namespace) -> Settings:
    """What the outputs depend on.

    Raises:
        InputError: if the pattern of the detections is wrong.
    """
    model = None
    if args.detections:
        detections_address(args.detections, Video("/folder/video.mp4"))
    else:
        from ..model_zoo import default_preset

        model = args.model or default_preset().name
    class_names = read_class_names(args.class_names)
    return Settings(
        model=model,
        detections=absolute_pattern(args.detections) if args.detections else None,
        weights=args.weights,
        short_side=args.short_side,
        tracker=args.tracker,
        categories=tuple(args.classes) if args.classes else None,
        class_names=tuple(class_names) if class_names else None,
        score_threshold=args.confidence_threshold,
        start=args.excerpt.start,
        duration=args.excerpt.duration,
        stride=args.excerpt.stride,
        formats=tuple(sorted(set(args.format))),
        id_masks=args.id_masks,
        draw=args.video,
    )


def make_engine(args: argparse.Namespace, job: Job) -> Engine:
    """What processes the videos."""
    if args.engine == "ray":
        job = replace(job, settings=job.settings.with_absolute_paths())
        return partial(
            process_on_ray,
            job=job,
            workers=args.workers,
            address=args.address,
            cpus=args.cpus_per_worker,
            gpus=args.gpus_per_worker,
        )
    cores = available_cores()
    workers = args.workers or default_workers(cores, _count_gpus())
    job = replace(job, threads=max(1, cores // workers))
    timeout = TIMEOUT if args.timeout is None else args.timeout
    return partial(process_locally, job=job, workers=workers, timeout=timeout)


def _count_gpus() -> int:
    # Imported late because it takes time.
    import torch

    return torch.cuda.device_count()


def print_report(report: Report, seconds: float, output: str) -> None:
    """Print what was done, and the first failures."""
    for outcome in report.failed[:SHOWN_FAILURES]:
        print(f"failed: {outcome.video.address}: {outcome.reason}", file=sys.stderr)
    if len(report.failed) > SHOWN_FAILURES:
        print(f"... and {len(report.failed) - SHOWN_FAILURES} more", file=sys.stderr)
    rate = report.frames / max(seconds, 1e-3)
    print(
        f"{report.finished} videos with {report.frames} frames in {seconds:.1f} s "
        f"({rate:.1f} frames/s); {report.before} were finished before; {len(report.failed)} failed"
    )
    if report.failed:
        print(f"{output}/{FAILED} says why; the same command tries them again")


def run(args: argparse.Namespace) -> None:
    """Process the archive. Exits with status 1 if a video failed."""
    start = time.perf_counter()
    index, count = args.shard
    settings = read_settings(args)
    results = [f"{args.output}/{name}" for name in (VIDEOS, FAILED, PARTIAL)]
    found = find_videos(args.inputs, exclude=results)
    videos = [video for video in found if video.is_in_shard(index, count)]
    part = f"{index}-of-{count}"
    job = Job(settings, absolute(args.output), part, retries=args.retries)
    try:
        report = run_archive(videos, settings, args.output, make_engine(args, job), part=part)
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on with the other videos.", file=sys.stderr)
        sys.exit(130)
    print_report(report, time.perf_counter() - start, args.output)
    if report.failed:
        sys.exit(1)


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    # Not as a command for one video: this process computes nothing, so that it needs no threads.
    setup_logging()
    run_command(lambda: run(args))
