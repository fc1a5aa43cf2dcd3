"""``python -m maskprop_d2.evaluation.submission SET.json results.zip``: would a server take it?

Exit status: 0, it can be submitted; 1, a server would refuse it or not count all of it, and what
is wrong is printed by count and example; 2, it could not be checked, since a file is missing, cut
or not what it should be.
"""

import argparse
import io
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AnnotationError, MismatchError
from ..ytvis.reading import iterate_json, iterate_list, load_json, read_errors
from .predictions import Tally, read_predictions
from .tracks import Video, read_videos


@dataclass
class Report:
    """What a submission holds.

    Attributes:
        problems: what is wrong, a line each; empty if it can be submitted.
        entries: number of entries that are right.
        videos: number of videos that have such entries.
    """

    problems: list[str]
    entries: int = 0
    videos: int = 0


def check_submission(set_file: str | Path, submission: str | Path) -> Report:
    """Check ``results.zip``, or the ``results.json`` that is to go into it.

    Args:
        set_file: json of the set that it is for, annotated or not.
        submission: a .zip file; anything else is read as json, also gzipped.

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
        held = ", ".join([repr(x) for x in names[:5]] + ["..."] * (len(names) > 5)) or "nothing"
        return Report([f"it must hold results.json, alone and in no folder, but holds {held}"])
    return _check_entries(_zipped_entries(submission), videos, category_ids)


def _zipped_entries(path: str | Path) -> Iterator[Any]:
    with (
        read_errors(path),
        zipfile.ZipFile(path) as archive,
        archive.open("results.json") as file,
        io.TextIOWrapper(file, "utf-8") as text,
    ):
        yield from iterate_list(text)


def _check_entries(
    entries: Iterable[Any], videos: dict[int, Video], category_ids: set[int]
) -> Report:
    wrong = Tally()
    seen: list[int] = []
    for i, entry in enumerate(entries):
        try:
            ((video, _),) = read_predictions([(i, entry)], videos, category_ids)
            _check_form(entry["segmentations"], f"entry {i}")
            seen.append(video.id)
        except MismatchError as error:
            wrong.add(error.kind, error)
        except AnnotationError as error:
            wrong.add("a wrong form", error)
    problems = wrong.lines()
    if not seen and not problems:
        problems = ["it has no entries; the official code fails on that"]
    return Report(problems, len(seen), len(set(seen)))


def _check_form(masks: list[Any], where: str) -> None:
    """Results may be scored here in any form, but not by the official code."""
    for t, mask in enumerate(masks):
        if mask is not None and not (isinstance(mask, dict) and isinstance(mask["counts"], str)):
            raise MismatchError(
                f"{where}, frame {t}", "masks in another form than compressed RLE or null"
            )


def main(argv: list[str] | None = None) -> None:
    """Print the report and exit with a status as the head of this file says."""
    parser = argparse.ArgumentParser(
        prog="python -m maskprop_d2.evaluation.submission",
        description="Check a submission against the set that it is for.",
        epilog="exit status: 0 fine, 1 something is wrong, 2 it could not be checked",
    )
    parser.add_argument("set", help="json of the set, in YouTube-VIS's format (.json, .gz)")
    parser.add_argument("submission", help="results.zip, or results.json")
    args = parser.parse_args(argv)
    try:
        report = check_submission(args.set, args.submission)
    except AnnotationError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    for problem in report.problems:
        print(f"wrong: {problem}")
    print(f"{args.submission}: {report.entries} right entries for {report.videos} videos")
    if not report.problems and not args.submission.endswith(".zip"):
        print("The servers take it as results.json alone in a .zip archive.")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
