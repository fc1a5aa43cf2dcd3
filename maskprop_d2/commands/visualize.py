"""Make a page of results to look at: figures, plots, and each video beside its ground truth.

    maskprop visualize --json valid.json --results results.json \\
        --images valid/JPEGImages --output page/

Then open page/index.html. No server is needed.
"""

import argparse
import logging
import os
from pathlib import Path

from ..errors import run_command
from ..evaluation.page import write_page


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json",
        type=Path,
        required=True,
        help="ground truth in YouTube-VIS's format (.json, .gz); without annotations in it the "
        "page shows predictions alone",
    )
    parser.add_argument("--results", type=Path, required=True, help="predicted tracks")
    parser.add_argument(
        "--images", type=Path, required=True, help="folder that the frames' names are relative to"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--score-threshold",
        type=float,
        help="show predictions from this score on (default: the one with the best IDF1; 0.3 "
        "without annotations)",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Write the page; exits with status 2 on bad input."""
    args = parse_args(argv, prog)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    run_command(
        lambda: write_page(
            args.json,
            args.results,
            args.images,
            args.output,
            args.score_threshold,
            processes=len(os.sched_getaffinity(0)),
        )
    )
    print(f"wrote {args.output / 'index.html'}: open it in a browser")
