"""``python -m maskprop_d2.commands.validate JSON --images DIR``"""

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import AnnotationError
from ..ytvis import load_json
from ..ytvis.checks import check_annotations, check_frames
from ..ytvis.problems import Report


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Print what is wrong; exits with status 1 if that is fatal, 2 if the file cannot be read."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Find what breaks or biases training in a data set of YouTube-VIS's format.",
    )
    parser.add_argument("json", help="its annotation file (.json, .gz)")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="the folder that its file names are relative to; without it no frame is looked at",
    )
    args = parser.parse_args(argv)
    try:
        data = load_json(args.json)
        if not isinstance(data, dict):
            raise AnnotationError(f"{args.json}: must be an object with 'videos' and 'categories'")
        if args.images and not args.images.is_dir():
            raise AnnotationError(f"{args.images}: there is no such folder")
    except AnnotationError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    report = Report()
    videos = check_annotations(data, report)
    number_of_frames = sum(len(video["file_names"]) for video in videos.values() if video)
    if args.images:
        frames = check_frames(videos.values(), args.images, report)
        quiet = not sys.stderr.isatty()
        for _ in tqdm(frames, total=number_of_frames, unit="frame", disable=quiet):
            pass
    print(f"{args.json}: {_summary(data, len(videos), number_of_frames)}")
    print_report(report)
    sys.exit(1 if report.fatal else 0)


def _summary(data: dict[str, Any], videos: int, frames: int) -> str:
    categories, tracks = (
        len(data[key]) if isinstance(data.get(key), list) else 0
        for key in ("categories", "annotations")
    )
    return f"{videos} videos, {frames} frames, {categories} categories, {tracks} annotations"


def print_report(report: Report) -> None:
    """Each kind of problem with its number and some examples, the fatal ones first."""
    for problem, count in sorted(report.counts.items(), key=lambda x: not x[0].fatal):
        print(f"{'FATAL' if problem.fatal else 'warning':<8}{count:>8}  {problem.text}")
        for where in report.examples[problem]:
            print(f"{'':<18}{where}")
        if count > len(report.examples[problem]):
            print(f"{'':<18}...")
    fatal = sum(problem.fatal for problem in report.counts)
    print(f"kinds of problems: {fatal} fatal, {len(report.counts) - fatal} to look at")


if __name__ == "__main__":
    main(prog="python -m maskprop_d2.commands.validate")
