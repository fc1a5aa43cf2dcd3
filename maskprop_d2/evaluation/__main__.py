"""``python -m maskprop_d2.evaluation GT.json RESULTS.json [--output metrics.json] ...``"""

import argparse
import gc
import json
import logging
import os
from pathlib import Path
from typing import Any

from ..errors import AnnotationError, run_command
from ..files import atomic_file
from ..ytvis import iterate_json, load_json
from . import Metrics, ap_gains, evaluate, format_table, identity_measures
from .oracle import ORACLES
from .table import format_per_category, format_per_video


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Print the table and write the metrics; exits with status 2 on bad input."""
    args = _parser(prog).parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    # Files of results make many objects, none of them in cycles: to look for such is lost time.
    gc.disable()
    try:
        run_command(lambda: _run(args))
    finally:
        gc.enable()


def _run(args: argparse.Namespace) -> None:
    if args.output and (Path(args.output).is_dir() or not Path(args.output).parent.is_dir()):
        raise AnnotationError(f"--output {args.output} must be a file in a folder that exists")
    ground_truth = load_json(args.ground_truth)
    metrics = evaluate(
        ground_truth,
        iterate_json(args.results),
        (args.ground_truth, args.results),
        strict=args.strict,
        oracle=args.oracle,
        identity=args.identity,
        processes=len(os.sched_getaffinity(0)),
    )
    extras = _extras(metrics, args)
    _print(metrics, extras)
    if not ground_truth.get("annotations"):
        print(f"{args.ground_truth} has no annotations: there is nothing to score against.")
    if args.output:
        with atomic_file(args.output) as partial:
            partial.write_text(json.dumps({**metrics.as_dict(), **extras}, indent=2))


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Score video instance segmentation results by video AP and AR.",
    )
    parser.add_argument("ground_truth", help="annotations in YouTube-VIS's format (.json, .gz)")
    parser.add_argument("results", help="predicted tracks, as submitted to its server")
    parser.add_argument("--output", help="where to write the metrics as json, in percent")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse results that do not fit the annotations, instead of leaving them out",
    )
    parser.add_argument("--per-category", action="store_true", help="all figures by category")
    parser.add_argument("--per-video", action="store_true", help="which videos cost most AP")
    parser.add_argument("--identity", action="store_true", help="IDF1 and ID switches")
    parser.add_argument(
        "--oracle",
        choices=ORACLES,
        help="replace this part of the predictions by the ground truth before scoring",
    )
    return parser


def _extras(metrics: Metrics, args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for beside the official figures, as it goes into the json file."""
    extras: dict[str, Any] = {}
    if args.oracle:
        extras["oracle"] = args.oracle
    if args.per_category:
        extras["per_category"] = metrics.per_category()
    if args.per_video:
        gains = ap_gains(metrics)
        extras["per_video"] = [{"video_id": k, "AP_gain": v} for k, v in gains.items()]
    if args.identity:
        pairs = (pair for video in metrics.videos for pair in video.frame_pairs.values())
        extras["identity"] = identity_measures(pairs)
    return extras


def _print(metrics: Metrics, extras: dict[str, Any]) -> None:
    if "oracle" in extras:
        print(f"With perfect {extras['oracle']}, taken from the ground truth:")
    print(format_table(metrics))
    if "per_category" in extras:
        print(f"\nAll figures by category:\n{format_per_category(extras['per_category'])}")
    if "per_video" in extras:
        print(f"\nVideos that cost most AP:\n{format_per_video(extras['per_video'])}")
    if "identity" in extras:
        figures = ", ".join(
            f"{k} {'-' if v is None else round(v, 3)}" for k, v in extras["identity"].items()
        )
        print(f"\nIdentity: {figures}")


if __name__ == "__main__":
    main(prog="python -m maskprop_d2.evaluation")
