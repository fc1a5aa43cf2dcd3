"""Say what costs AP: missed objects, wrong categories, masks, identities, duplicates, background.

    maskprop diagnose annotations.json results.json --output diagnosis.json

The shares of the kinds of error add up to the AP that is lost.
"""

import argparse
import json
import logging
from dataclasses import asdict

from ..errors import AnnotationError, run_command
from ..evaluation.diagnosis import Diagnosis, diagnose
from ..evaluation.predictions import read_tracks
from ..files import atomic_file, check_output_file
from ..threads import available_cores
from ..ytvis import iterate_json, load_json

MEANINGS = {
    "missed": "objects, or frames of them, that no track shows",
    "category": "tracks in a wrong category",
    "mask": "masks that do not fit their object",
    "identity": "tracks that change objects, objects that change tracks",
    "duplicate": "further tracks of an object that has one",
    "background": "masks that show no object",
}
MOST_VIDEOS = 3


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Print the diagnosis and write it. Exits with status 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ground_truth", help="annotation file (.json, .json.gz)")
    parser.add_argument("results", help="results file (.json, .json.gz)")
    parser.add_argument("--output", metavar="FILE", help="write the diagnosis as json")
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    check_output_file(args.output, [args.ground_truth, args.results])
    truth = load_json(args.ground_truth)
    videos = read_tracks(truth, iterate_json(args.results), (args.ground_truth, args.results))
    if not any(x.objects for x in videos):
        raise AnnotationError(f"{args.ground_truth} has no annotated objects to compare with")
    category_ids = sorted(x["id"] for x in truth["categories"])
    found = diagnose(videos, category_ids, processes=available_cores())
    print(_format(found))
    if args.output:
        content = asdict(found)
        del content["cases"]  # For the results page.
        content["worst"] = {
            kind: [{"video_id": k, "recall_lost": v} for k, v in worst.items()]
            for kind, worst in found.worst.items()
        }
        with atomic_file(args.output) as partial:
            partial.write_text(json.dumps({"AP": content.pop("ap"), **content}, indent=2))


def _format(found: Diagnosis) -> str:
    ranked = sorted(found.lost, key=lambda x: -found.lost[x])
    lines = [f"AP {found.ap:.2f}. What costs the other {sum(found.lost.values()):.2f} points:"]
    lines += [f"  {found.lost[kind]:7.2f}  {kind:<11}{MEANINGS[kind]}" for kind in ranked]
    lines.append(f"Perfect scores alone would gain {found.ranking:.2f} points.")
    lines.append(
        f"Objects are split over {found.splits} tracks too many, and tracks merge {found.merges} "
        "objects too many."
    )
    lines.append("\nRecall in percent, and what it loses to each kind of error, by object:")
    lines.append(f"  {'':<18}{'objects':>8}{'recall':>8}" + "".join(f"{x:>12}" for x in ranked))
    for prop, groups in found.groups.items():
        for name, group in groups.items():
            cells = "".join(f"{group.lost[x]:12.2f}" for x in ranked)
            lines.append(f"  {prop:<11}{name:<7}{group.objects:>8}{group.recall:8.2f}{cells}")
    lines.append("\nVideos that lose the most recall:")
    for kind in ranked:
        if found.worst[kind]:
            first = list(found.worst[kind].items())[:MOST_VIDEOS]
            lines.append(f"  {kind:<11}" + ", ".join(f"video {k} ({v:.2f})" for k, v in first))
    return "\n".join(lines)
