"""Write an HTML page of results: metrics, plots, and each video beside its ground truth.

    maskprop visualize --json valid.json --results results.json \\
        --images valid/JPEGImages --output page/

Then open page/index.html in a browser. No server is needed.
"""

import argparse
import logging
from pathlib import Path

from ..errors import run_command
from ..evaluation.page import write_page
from ..threads import available_cores


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Write the page. Exits with status 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--json",
        type=Path,
        required=True,
        help="annotation file (.json, .json.gz); without annotations in it, the page shows only "
        "predictions",
    )
    parser.add_argument("--results", type=Path, required=True, help="results file")
    parser.add_argument(
        "--images", type=Path, required=True, help="folder that 'file_names' are relative to"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--score-threshold",
        type=float,
        help="hide predictions scored below this (default: the threshold with the best IDF1; 0.3 "
        "without annotations)",
    )
    parser.add_argument(
        "--diagnose", action="store_true", help="show what costs AP, as maskprop diagnose"
    )
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    run_command(
        lambda: write_page(
            args.json,
            {args.results.name: args.results},
            args.images,
            args.output,
            args.score_threshold,
            processes=available_cores(),
            diagnosis=args.diagnose,
        )
    )
    print(f"wrote {args.output / 'index.html'}: open it in a browser")
