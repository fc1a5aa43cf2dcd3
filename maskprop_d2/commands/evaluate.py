"""Compute the metrics of a results file: video AP and AR, and with options HOTA and others."""

import argparse
import gc
import json
import logging
from typing import Any

from ..errors import run_command
from ..evaluation import (
    Metrics,
    ap_gains,
    evaluate,
    format_table,
    hota_measures,
    identity_measures,
    reappearance_measures,
)
from ..evaluation.hota_figures import hota_per_category, hota_per_video
from ..evaluation.oracle import ORACLES
from ..evaluation.table import format_hota, format_per_category, format_per_video
from ..files import atomic_file, check_output_file
from ..threads import available_cores
from ..ytvis import iterate_json, load_json


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Print the table and write the metrics. Exits with status 2 on bad input."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("ground_truth", help="annotation file (.json, .json.gz)")
    parser.add_argument("results", help="results file (.json, .json.gz)")
    parser.add_argument("--output", metavar="FILE", help="write the metrics, in percent, as json")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail on results that do not match the annotations instead of dropping them",
    )
    parser.add_argument("--per-category", action="store_true", help="all metrics of each category")
    parser.add_argument("--per-video", action="store_true", help="how much AP each video costs")
    parser.add_argument("--identity", action="store_true", help="IDF1, ID switches, reappearances")
    parser.add_argument(
        "--hota", action="store_true", help="trackeval's HOTA, DetA, AssA, LocA, IDF1 and MOTA"
    )
    parser.add_argument(
        "--oracle",
        choices=ORACLES,
        help="first replace this part of the predictions by the ground truth",
    )
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    # Reading results creates many objects without cycles, which the collector would search.
    gc.disable()
    try:
        run_command(lambda: _run(args))
    finally:
        gc.enable()


def _run(args: argparse.Namespace) -> None:
    check_output_file(args.output, [args.ground_truth, args.results])
    ground_truth = load_json(args.ground_truth)
    metrics = evaluate(
        ground_truth,
        iterate_json(args.results),
        (args.ground_truth, args.results),
        strict=args.strict,
        oracle=args.oracle,
        identity=args.identity,
        hota=args.hota,
        processes=available_cores(),
    )
    if args.oracle:
        print(f"With perfect {args.oracle}, taken from the ground truth:")
    print(format_table(metrics))
    extras = _extra_figures(metrics, args)
    if not ground_truth.get("annotations"):
        print(f"{args.ground_truth} has no annotations: there is nothing to score against.")
    if args.output:
        with atomic_file(args.output) as partial:
            partial.write_text(json.dumps({**metrics.as_dict(), **extras}, indent=2))


def _extra_figures(metrics: Metrics, args: argparse.Namespace) -> dict[str, Any]:
    """Compute and print the figures requested beside the official ones.

    Returns:
        their part of the json file.
    """
    extras: dict[str, Any] = {}
    if args.oracle:
        extras["oracle"] = args.oracle
    if args.hota:
        measures = hota_measures(metrics)
        extras.update(measures)
        print(f"\n{format_hota(measures)}")
    if args.per_category:
        figures = metrics.per_category()
        print(f"\nAll figures by category:\n{format_per_category(figures)}")
        tracking = hota_per_category(metrics) if args.hota else {}
        extras["per_category"] = {k: {**v, **tracking.get(k, {})} for k, v in figures.items()}
        if tracking:
            print(f"\n{format_per_category(tracking)}")
    if args.per_video:
        gains = [{"video_id": k, "AP_gain": v} for k, v in ap_gains(metrics).items()]
        extras["per_video"] = gains
        if args.hota:
            by_video = hota_per_video(metrics)
            extras["per_video"] = [{**x, **by_video[int(x["video_id"])]} for x in gains]
        print(f"\nVideos that cost the most AP:\n{format_per_video(gains)}")
    if args.identity:
        pairs = (pair for video in metrics.videos for pair in video.frame_pairs.values())
        cases = (case for video in metrics.videos for case in video.reappearances)
        measures = extras["identity"] = {**identity_measures(pairs), **reappearance_measures(cases)}
        texts = (f"{k} {'-' if v is None else round(v, 3)}" for k, v in measures.items())
        print(f"\nIdentity: {', '.join(texts)}")
    return extras
