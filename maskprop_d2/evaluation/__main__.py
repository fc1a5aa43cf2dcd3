"""``python -m maskprop_d2.evaluation GT.json RESULTS.json [--output metrics.json]``"""

import argparse
import json
import os
import sys

from . import AnnotationError, evaluate, format_table, load_json


def main(argv: list[str] | None = None) -> None:
    """Print the table and write the metrics; exits with status 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m maskprop_d2.evaluation",
        description="Score video instance segmentation results by video AP and AR.",
    )
    parser.add_argument("ground_truth", help="annotations in YouTube-VIS's format (.json, .gz)")
    parser.add_argument("results", help="predicted tracks, as submitted to its server")
    parser.add_argument("--output", help="where to write the metrics as json, in percent")
    args = parser.parse_args(argv)
    try:
        ground_truth, results = load_json(args.ground_truth), load_json(args.results)
        metrics = evaluate(ground_truth, results, (args.ground_truth, args.results))
        print(format_table(metrics))
        if not ground_truth.get("annotations"):
            print(f"{args.ground_truth} has no annotations: there is nothing to score against.")
        if args.output:
            partial = f"{args.output}.partial"
            with open(partial, "w", encoding="utf-8") as file:
                json.dump(metrics.as_dict(), file, indent=2)
            os.replace(partial, args.output)
    except (AnnotationError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
