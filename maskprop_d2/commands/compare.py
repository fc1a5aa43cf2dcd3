"""Compare the results of models on the same videos: figures side by side, with 95 % intervals.

    maskprop compare annotations.json first.json second.json --output comparison.json
    maskprop compare annotations.json first.json second.json --page page/ --images JPEGImages/

The intervals are bootstrapped over the videos. Differences are to the first model; those marked
with * are significant: their interval does not contain 0.
"""

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path

from ..errors import AnnotationError, run_command
from ..evaluation import evaluate
from ..evaluation.comparison import Comparison, Interval, compare
from ..evaluation.page import check_page_output, write_page
from ..files import atomic_file, check_output_file
from ..threads import available_cores
from ..ytvis import iterate_json, load_json
from .arguments import at_least

MOST_VIDEOS = 10


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Print the comparison and write it. Exits with status 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ground_truth", help="annotation file (.json, .json.gz)")
    parser.add_argument("results", nargs="+", help="results files, one for each model")
    parser.add_argument("--output", metavar="FILE", help="write the comparison as json")
    parser.add_argument(
        "--page",
        type=Path,
        metavar="DIR",
        help="write a page with the predictions of all models beside each other",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="for the page: folder that 'file_names' are relative to",
    )
    parser.add_argument(
        "--diagnose", action="store_true", help="show on the page what costs each model AP"
    )
    parser.add_argument("--resamples", type=at_least(100), default=1000, help="bootstrap resamples")
    parser.add_argument("--seed", type=at_least(0), default=0, help="random seed of the resamples")
    args = parser.parse_args(argv)
    if args.page and not args.images:
        parser.error("--page needs --images")
    logging.basicConfig(format="%(levelname)s: %(message)s")
    run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    check_output_file(args.output, [args.ground_truth, *args.results])
    if args.page:
        check_page_output(args.page)
    if len(set(args.results)) < len(args.results):
        raise AnnotationError("the same results file is given twice")
    ground_truth = load_json(args.ground_truth)
    paths = dict(zip(_short_names(args.results), map(Path, args.results), strict=True))
    metrics = {
        name: evaluate(
            ground_truth,
            iterate_json(path),
            (args.ground_truth, str(path)),
            hota=True,
            processes=available_cores(),
        )
        for name, path in paths.items()
    }
    comparison = compare(metrics, args.resamples, args.seed)
    if args.page:
        write_page(
            Path(args.ground_truth),
            paths,
            args.images,
            args.page,
            processes=available_cores(),
            diagnosis=args.diagnose,
            comparison=comparison,
        )
    print(_format(comparison))
    if args.output:
        with atomic_file(args.output) as partial:
            partial.write_text(json.dumps(_as_json(comparison, args.resamples), indent=2))
    if args.page:
        print(f"\nwrote {args.page / 'index.html'}: open it in a browser")


def _short_names(paths: list[str]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [Path(x).parts for x in paths]
    for number in range(1, max(map(len, parts)) + 1):
        names = ["/".join(x[-number:]) for x in parts]
        if len(set(names)) == len(names):
            return names
    return paths


def _format(comparison: Comparison) -> str:
    lines = []
    for name, figures in comparison.figures.items():
        lines += [f"{name}:", *(f"  {k:<6}{_text(v)}" for k, v in figures.items())]
    first = next(iter(comparison.figures))
    for name, figures in comparison.differences.items():
        lines.append(f"\n{name} minus {first}:")
        for key, value in figures.items():
            lines.append(f"  {key:<6}{_text(value, '+')}{' *' if value.excludes_zero else ''}")
    if comparison.differences:
        lines.append("\nVideos where they differ most (AP gained if a video were perfect):")
        for video, gains in list(comparison.gains.items())[:MOST_VIDEOS]:
            cells = (f"{name} {value:.3f}" for name, value in gains.items())
            lines.append(f"  video {video:<8}{', '.join(cells)}")
    return "\n".join(lines)


def _text(x: Interval, sign: str = "") -> str:
    return f"{x.value:{sign}8.2f}   [{x.low:{sign}.2f}, {x.high:{sign}.2f}]"


def _as_json(comparison: Comparison, resamples: int) -> dict[str, object]:
    return {
        "resamples": resamples,
        **{k: v for k, v in asdict(comparison).items() if k != "gains"},
        "per_video": [{"video_id": k, "AP_gain": v} for k, v in comparison.gains.items()],
    }
