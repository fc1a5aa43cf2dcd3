"""Check a results file before it is submitted to an evaluation server.

    python -m maskprop_d2.evaluation.submission instances_val.json results.zip

The exit status is 0 if it can be submitted; 1 if a server would reject it or ignore a part of it,
with the problems printed by count and example; 2 if it cannot be checked, because a file is missing
or damaged.
"""

import argparse
import io
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import run_command
from ..ytvis.problems import ProblemReport
from ..ytvis.reading import iterate_json, iterate_list, load_json, read_errors
from .predictions import describe, read_predictions
from .tracks import Video, read_videos


@dataclass
class Submission:
    """The outcome of the check.

    Attributes:
        problems: a line for each kind of problem; empty if it can be submitted.
        entries: number of valid entries.
        videos: number of videos with valid entries.
    """

    problems: list[str]
    entries: int = 0
    videos: int = 0


def check_submission(set_file: str | Path, submission: str | Path) -> Submission:
    """Check ``results.zip``, or the ``results.json`` to be put into it.

    Args:
        set_file: annotation file of the set, with or without annotations.
        submission: a .zip file, or else json (.json or .json.gz).

    Raises:
        AnnotationError: if it cannot be checked.
    """
    ground_truth = load_json(set_file)
    videos = read_videos(ground_truth, set_file)
    category_ids = {x["id"] for x in ground_truth["categories"]}
    if not str(submission).endswith(".zip"):
        return _check_entries(iterate_json(submission), videos, category_ids)
    with read_errors(submission), zipfile.ZipFile(submission) as archive:
        names = archive.namelist()
    if names != ["results.json"]:
        listed = ", ".join([repr(x) for x in names[:5]] + ["..."] * (len(names) > 5)) or "nothing"
        return Submission([f"the archive must hold results.json and no folder, but holds {listed}"])
    return _check_entries(_iterate_zip(submission), videos, category_ids)


def _iterate_zip(path: str | Path) -> Iterator[Any]:
    with (
        read_errors(path),
        zipfile.ZipFile(path) as archive,
        archive.open("results.json") as file,
        io.TextIOWrapper(file, "utf-8") as text,
    ):
        yield from iterate_list(text)


def _check_entries(
    entries: Iterable[Any], videos: dict[int, Video], category_ids: set[int]
) -> Submission:
    report = ProblemReport()
    number, video_ids = 0, set()
    # The official code reads no other masks than compressed RLEs.
    for video, _ in read_predictions(entries, videos, category_ids, report, compressed_only=True):
        number += 1
        video_ids.add(video.id)
    problems = describe(report)
    if not number and not problems:
        problems = ["there are no entries; the official code fails on that"]
    return Submission(problems, number, len(video_ids))


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", help="annotation file of the set (.json, .json.gz)")
    parser.add_argument("submission", help="results.zip, or results.json")
    args = parser.parse_args(argv)
    run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    checked = check_submission(args.set, args.submission)
    for problem in checked.problems:
        print(f"problem: {problem}")
    print(f"{args.submission}: {checked.entries} valid entries for {checked.videos} videos")
    if not checked.problems and not args.submission.endswith(".zip"):
        print("Evaluation servers take it as results.json in a .zip archive.")
    sys.exit(1 if checked.problems else 0)


if __name__ == "__main__":
    main(prog="python -m maskprop_d2.evaluation.submission")
