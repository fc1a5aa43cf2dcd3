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
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import run_command
from ..ytvis.problems import ProblemReport
from ..ytvis.reading import iterate_json, iterate_list, load_json, read_errors
from .predictions import describe, read_predictions
from .tracks import read_videos


def check_submission(set_file: str | Path, submission: str | Path) -> tuple[list[str], int, int]:
    """Check ``results.zip``, or the ``results.json`` to be put into it.

    Returns:
        a line for each kind of problem, the number of valid entries, and the number of videos with
        valid entries.

    Raises:
        AnnotationError: if it cannot be checked.
    """
    ground_truth = load_json(set_file)
    videos = read_videos(ground_truth, set_file)
    category_ids = {x["id"] for x in ground_truth["categories"]}
    entries = iterate_json(submission)
    if str(submission).endswith(".zip"):
        with read_errors(submission), zipfile.ZipFile(submission) as archive:
            names = archive.namelist()
        if names != ["results.json"]:
            listed = [*map(repr, names[:5]), *["..."] * (len(names) > 5)] or ["nothing"]
            text = f"the archive must hold only results.json, but holds {', '.join(listed)}"
            return [text], 0, 0
        entries = _iterate_zip(submission)
    report = ProblemReport()
    # The official code reads no other masks than compressed RLEs.
    tracks = read_predictions(entries, videos, category_ids, report, compressed_only=True)
    counts = Counter(video.id for video, _ in tracks)
    problems = describe(report)
    if not counts and not problems:
        problems = ["there are no entries; the official code fails on that"]
    return problems, counts.total(), len(counts)


def _iterate_zip(path: str | Path) -> Iterator[Any]:
    with (
        read_errors(path),
        zipfile.ZipFile(path) as archive,
        archive.open("results.json") as file,
        io.TextIOWrapper(file, "utf-8") as text,
    ):
        yield from iterate_list(text)


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
    problems, entries, videos = check_submission(args.set, args.submission)
    for problem in problems:
        print(f"problem: {problem}")
    print(f"{args.submission}: {entries} valid entries for {videos} videos")
    if not problems and not args.submission.endswith(".zip"):
        print("Evaluation servers take it as results.json in a .zip archive.")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(prog="python -m maskprop_d2.evaluation.submission")
