#!/usr/bin/env python3
"""Compare tracking methods over the same detections, as in Tables 2 and 3 of the paper.

    python tools/compare_trackers.py --config-file F --dataset D --output DIR --opts MODEL.WEIGHTS W

The detector runs once, and each method links its detections; detections and maps are kept for one
video at a time. Methods with their own weights get them by ``--weights``; without it, "all" skips
these methods. ``strips.html`` shows film strips like Figure 7 of the videos in which the methods
differ most. ``--sweep clip-radius`` draws the curve of Figure 6 instead, ``--sweep threshold`` that
of the linking threshold, and ``--show features`` the propagated features of Figure 5.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from comparing.features import draw_features
from comparing.linking import link_all
from comparing.scoring import score
from comparing.strips import write_strips
from comparing.sweeps import SWEEPS, plot
from comparing.tables import table
from detectron2.data import MetadataCatalog
from detectron2.utils.logger import setup_logger

from maskprop_d2.engine import build_segmenter, load_config
from maskprop_d2.errors import InputError, run_command
from maskprop_d2.inference.detector_network import DetectorNetwork
from maskprop_d2.inference.parts import MaskPropagators
from maskprop_d2.tracking import OWN_WEIGHTS, TRACKERS
from maskprop_d2.ytvis import load_json


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True, metavar="F")
    parser.add_argument("--dataset", required=True, metavar="D", help="an annotated dataset")
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--trackers", nargs="+", default=["all"], choices=["all", *TRACKERS])
    task.add_argument("--sweep", choices=SWEEPS, help="vary an option of the config's tracker")
    task.add_argument(
        "--show", choices=["features"], help="draw the features propagated from a frame"
    )
    parser.add_argument("--video", type=int, metavar="ID", help="for --show (default: the first)")
    parser.add_argument(
        "--frame",
        type=int,
        metavar="T",
        help="for --show, from 0 (default: the frame with the most objects)",
    )
    parser.add_argument("--values", nargs="+", type=float, help="values for --sweep")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="METHOD=FILE",
        help=f"weights of methods that have their own ({', '.join(OWN_WEIGHTS)}), trained on top "
        "of the detector in MODEL.WEIGHTS",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")
    args = parser.parse_args(argv)
    if args.values and not args.sweep:
        parser.error("--values needs --sweep")
    if not args.show and (args.video, args.frame) != (None, None):
        parser.error("--video and --frame need --show")
    args.weights = dict(x.partition("=")[::2] for x in args.weights)
    for method, path in args.weights.items():
        if method not in OWN_WEIGHTS or not path:
            parser.error(f"--weights takes METHOD=FILE, METHOD one of {', '.join(OWN_WEIGHTS)}")
    return args


def get_settings(args: argparse.Namespace) -> dict[str, list[str]]:
    """The config keys and values of each row of the table."""
    if not args.sweep:
        names = TRACKERS if "all" in args.trackers else args.trackers
        return {name: ["MODEL.MASKPROP.TRACKER", name] for name in names}
    sweep = SWEEPS[args.sweep]
    if args.sweep == "clip-radius" and any(x % 1 for x in args.values or []):
        raise InputError(f"--values of a clip radius must be whole numbers, not {args.values}")
    return {f"{args.sweep} {x:g}": [sweep.key, f"{x:g}"] for x in args.values or sweep.values}


def load_network(cfg: Any, weights: dict[str, str]) -> DetectorNetwork:
    """The config's network, with the methods' own networks from their weights files."""
    network = build_segmenter(cfg).network
    for method, path in weights.items():
        changed = cfg.clone()
        changed.merge_from_list(["MODEL.MASKPROP.TRACKER", method, "MODEL.WEIGHTS", path])
        trained = build_segmenter(changed).network
        name = OWN_WEIGHTS[method].split(".")[0]
        part = network.parts.get(name)
        if isinstance(part, MaskPropagators):
            part.update(trained.parts[name])
        else:
            network.add_module(name, trained.parts[name])
    return network


def run(args: argparse.Namespace) -> None:
    """Draw features, or compare methods."""
    cfg = load_config(args.config_file, args.opts)
    # Report a wrong folder before the computation.
    args.output.mkdir(parents=True, exist_ok=True)
    if args.show:
        draw_features(cfg, args.dataset, args.video, args.frame, args.output / "features.png")
    else:
        compare(cfg, args)


def compare(cfg: Any, args: argparse.Namespace) -> None:
    """Link, evaluate, print the table and write all outputs."""
    settings = get_settings(args)
    network = load_network(cfg, args.weights)
    skip_missing = not args.sweep and "all" in args.trackers
    results, milliseconds, skipped = link_all(
        cfg, network, args.dataset, settings, skip_missing=skip_missing
    )
    metadata = MetadataCatalog.get(args.dataset)
    ground_truth = load_json(metadata.json_file)
    scored = {name: score(ground_truth, entries) for name, entries in results.items()}
    rows = {name: {**x.figures, "ms a frame": milliseconds[name]} for name, x in scored.items()}
    for name, entries in results.items():
        path = args.output / f"results_{name.replace(' ', '_')}.json"
        path.write_text(json.dumps(entries))
    lines = [f"The detector takes {milliseconds['detector']:.1f} ms per frame.", *skipped]
    text = "\n\n".join([table(rows), *lines]) + "\n"
    (args.output / "table.md").write_text(text)
    (args.output / "table.json").write_text(json.dumps(rows, indent=2))
    if args.sweep:
        plot([rows], args.dataset, args.output / f"{args.sweep}.png")
    elif len(scored) > 1:
        strips = args.output / "strips.html"
        write_strips(ground_truth, scored, Path(metadata.image_root), args.dataset, strips)
    print(text)


def main(argv: list[str] | None = None) -> None:
    """Run the command; exit with status 2 for input that cannot be used."""
    args = parse_args(argv)
    setup_logger(name="maskprop_d2")
    logging.captureWarnings(True)
    run_command(lambda: run(args))


if __name__ == "__main__":
    main()
