"""Check a dataset in YouTube-VIS's format for errors that would stop training or bias it."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from ..errors import AnnotationError, run_command
from ..ytvis import load_json
from ..ytvis.checks import usable_videos
from ..ytvis.problems import ProblemReport
from ..ytvis.validation import find_frame_problems, find_problems


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Print the problems. Exits with status 1 if any is fatal, 2 if the file cannot be read."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("json", help="annotation file (.json, .json.gz)")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder that 'file_names' are relative to; without it, only the annotation file is "
        "checked",
    )
    args = parser.parse_args(argv)
    run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    data = load_json(args.json)
    if not isinstance(data, dict):
        raise AnnotationError(f"{args.json}: must be an object with 'videos' and 'categories'")
    if args.images and not args.images.is_dir():
        raise AnnotationError(f"{args.images}: there is no such folder")
    report = ProblemReport()
    for problem, text in find_problems(data):
        report.add(problem, text)
    videos = usable_videos(data).values()
    frames = sum(len(video["file_names"]) for video in videos)
    if args.images:
        checked = find_frame_problems(videos, args.images)
        for found in tqdm(checked, total=frames, unit="frame", disable=None):
            if found:
                report.add(*found)
    lists = [data.get(key) for key in ("categories", "annotations")]
    categories, tracks = (len(x) if isinstance(x, list) else 0 for x in lists)
    print(
        f"{args.json}: {len(videos)} videos, {frames} frames, {categories} categories, "
        f"{tracks} annotations"
    )
    _print_report(report)
    sys.exit(1 if report.fatal else 0)


def _print_report(report: ProblemReport) -> None:
    """Print each kind of problem with its count and some examples, the fatal ones first."""
    for problem, count in report.ranked():
        print(f"{'FATAL' if problem.fatal else 'warning':<8}{count:>8}  {problem.text}")
        for where in report.examples[problem]:
            print(f"{'':<18}{where}")
        if count > len(report.examples[problem]):
            print(f"{'':<18}...")
    fatal = sum(problem.fatal for problem in report.counts)
    print(f"kinds of problems: {fatal} fatal, {len(report.counts) - fatal} warnings")
