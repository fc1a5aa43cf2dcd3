#!/usr/bin/env python3
"""Every tracking method over the same detections: a table like the paper's Tables 2 and 3.

    python tools/compare_trackers.py --config-file F --dataset D --output DIR --opts MODEL.WEIGHTS W

The detector runs once; then each method links what it found: detections and maps are kept for one
video at a time. Methods with weights of their own get them by ``--weights``; of "all" methods those
are left out that have none. ``--sweep clip-radius`` instead gives the curve of Figure 6,
``--sweep threshold`` that of the linking threshold.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.utils.logger import setup_logger
from torch import Tensor
from tqdm import tqdm

from maskprop_d2.data import build_test_loader
from maskprop_d2.engine import build_segmenter, load_config
from maskprop_d2.errors import InputError, MissingWeightsError, run_command
from maskprop_d2.evaluation import evaluate, identity_measures, load_json
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.inference.frame_network import DetectorNetwork
from maskprop_d2.inference.results import as_results
from maskprop_d2.modeling.options import segmenter_options
from maskprop_d2.structures import FrameNetwork, FrameOutput
from maskprop_d2.tracking import MASK_PROPAGATORS, OWN_WEIGHTS, TRACKERS, MaskPropagator

SWEEPS = {
    "clip-radius": ("MODEL.MASKPROP.CLIP_RADIUS", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    "threshold": ("MODEL.MASKPROP.LINKING.THRESHOLD", [0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5]),
}
FIGURES = ("AP", "AP50", "AP75", "AR1", "AR10")


class Replay(FrameNetwork):
    """A network that detects in each video once, and then gives the same detections again."""

    def __init__(self, network: FrameNetwork):
        self._network = network
        self._outputs: list[FrameOutput] = []
        self._next = 0

    def next_video(self, batches: Iterable[Tensor]) -> None:
        """Detect in all frames of a video, in place of the one before."""
        self._outputs = list(self._network.detect_stream(batches))
        self._next = 0

    def rewind(self) -> None:
        """Back to the first frame."""
        self._next = 0

    def detect(self, frames: Tensor) -> list[FrameOutput]:
        """What was detected in the next so many frames."""
        start, self._next = self._next, self._next + len(frames)
        return self._outputs[start : self._next]

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        """See ``FrameNetwork.propagate``."""
        return self._network.propagate(source, targets)

    def mask_propagator(self, method: str) -> MaskPropagator:
        """See ``FrameNetwork.mask_propagator``."""
        return self._network.mask_propagator(method)


def in_batches(frames: list[np.ndarray], size: int) -> Iterator[Tensor]:
    """(H, W, 3) frames as a network takes them, ``size`` at a time: (B, 3, H, W)."""
    for i in range(0, len(frames), size):
        yield torch.from_numpy(np.stack(frames[i : i + size])).permute(0, 3, 1, 2)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True, metavar="F")
    parser.add_argument("--dataset", required=True, metavar="D", help="name of an annotated one")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--trackers", nargs="+", default=["all"], choices=["all", *TRACKERS])
    what.add_argument("--sweep", choices=SWEEPS, help="of the config's own method")
    parser.add_argument("--values", nargs="+", type=float, help="of the sweep, instead of its own")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="METHOD=FILE",
        help=f"where methods' own weights are ({', '.join(OWN_WEIGHTS)}), trained over the "
        "detector of MODEL.WEIGHTS; those of the config's own method are in MODEL.WEIGHTS",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")
    args = parser.parse_args(argv)
    if args.values and not args.sweep:
        parser.error("--values are those of a --sweep")
    args.weights = dict(x.partition("=")[::2] for x in args.weights)
    for method, path in args.weights.items():
        if method not in OWN_WEIGHTS or not path:
            parser.error(f"--weights are METHOD=FILE, METHOD one of {', '.join(OWN_WEIGHTS)}")
    return args


def settings(args: argparse.Namespace) -> dict[str, list[str]]:
    """What is compared: config keys and values by a name for the table."""
    if not args.sweep:
        names = TRACKERS if "all" in args.trackers else args.trackers
        return {name: ["MODEL.MASKPROP.TRACKER", name] for name in names}
    key, values = SWEEPS[args.sweep]
    if args.sweep == "clip-radius" and any(x % 1 for x in args.values or []):
        raise InputError(f"--values of a clip radius are whole numbers, not {args.values}")
    return {f"{args.sweep} {x:g}": [key, f"{x:g}"] for x in args.values or values}


def load_network(cfg: Any, weights: dict[str, str]) -> DetectorNetwork:
    """The config's network, with what tracking methods need from files of their own."""
    network = build_segmenter(cfg).network
    for method, path in weights.items():
        changed = cfg.clone()
        changed.merge_from_list(["MODEL.MASKPROP.TRACKER", method, "MODEL.WEIGHTS", path])
        trained = build_segmenter(changed).network
        if method in MASK_PROPAGATORS:
            network.mask_propagators[method] = trained.mask_propagator(method)
        else:
            network.embedding = trained.embedding
    return network


@torch.inference_mode()
def link_all(
    cfg: Any,
    network: FrameNetwork,
    dataset: str,
    compared: dict[str, list[str]],
    *,
    may_leave_out: bool,
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float], list[str]]:
    """Run each setting over the whole data set.

    Args:
        cfg: the whole config.
        network: as ``load_network`` gives it.
        dataset: the name of the data set.
        compared: as ``settings`` gives them.
        may_leave_out: whether to go on without those whose weights are missing.

    Returns:
        by setting, the results in YouTube-VIS's format, and the milliseconds a frame of all that
        follows the detector; also of the detector itself, as "detector". Then a line on each
        setting that is left out.

    Raises:
        MissingWeightsError: if one would be left out that may not.
    """
    loader = build_test_loader(cfg, dataset)
    ids = MetadataCatalog.get(dataset).thing_dataset_id_to_contiguous_id
    to_dataset_id = {v: k for k, v in ids.items()}
    replay = Replay(network)
    segmenters = {}
    for name, overrides in compared.items():
        changed = cfg.clone()
        changed.merge_from_list(overrides)
        segmenters[name] = VideoSegmenter.from_options(replay, **segmenter_options(changed))
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in compared}
    seconds = dict.fromkeys(["detector", *compared], 0.0)
    left_out: list[str] = []
    frames_seen = 0
    for (video,) in tqdm(loader, desc=dataset, unit="video", disable=not sys.stderr.isatty()):
        frames = list(video["frames"])
        frames_seen += len(frames)
        start = time.perf_counter()
        replay.next_video(in_batches(frames, cfg.MODEL.MASKPROP.FRAMES_PER_BATCH))
        seconds["detector"] += time.perf_counter() - start
        for name, segmenter in list(segmenters.items()):
            replay.rewind()
            start = time.perf_counter()
            try:
                tracks = segmenter.segment(frames)
            except MissingWeightsError as error:
                if not may_leave_out:
                    raise
                left_out.append(f"{name} is left out: {error}, or in --weights {name}=FILE.")
                del segmenters[name], results[name]
                continue
            seconds[name] += time.perf_counter() - start
            results[name] += as_results(video["video_id"], tracks.as_dict(), to_dataset_id)
    return results, {name: 1000 * x / frames_seen for name, x in seconds.items()}, left_out


def score(
    ground_truth: dict[str, Any], results: list[dict[str, Any]], milliseconds: float
) -> dict[str, float | None]:
    """A row of the table."""
    metrics = evaluate(ground_truth, results, identity=True)
    figures = metrics.as_dict()
    pairs = [pair for video in metrics.videos for pair in video.frame_pairs.values()]
    identity = identity_measures(pairs)
    return {
        **{name: figures[name] for name in FIGURES},
        "IDF1": identity["IDF1"],
        "ID switches": identity["ID_switches"],
        "ms a frame": milliseconds,
    }


def table(rows: dict[str, dict[str, float | None]]) -> str:
    """The rows as Markdown."""
    names = list(next(iter(rows.values())))
    lines = [f"| | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for name, row in rows.items():
        cells = [
            "-" if x is None else f"{x:.0f}" if isinstance(x, int) else f"{x:.1f}"
            for x in row.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(sweep: str, rows: dict[str, dict[str, float | None]], path: Path) -> None:
    """AP over the values of a sweep, as in Figure 6 of the paper."""
    values = [float(name.split()[-1]) for name in rows]
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axes.plot(values, [row["AP"] for row in rows.values()], marker="o")
    axes.set(xlabel=sweep, ylabel="AP (percent)")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def run(args: argparse.Namespace) -> None:
    """Compare, print and write."""
    cfg = load_config(args.config_file, args.opts)
    compared = settings(args)
    # Now, not when all has been computed.
    args.output.mkdir(parents=True, exist_ok=True)
    network = load_network(cfg, args.weights)
    all_methods = not args.sweep and "all" in args.trackers
    results, milliseconds, left_out = link_all(
        cfg, network, args.dataset, compared, may_leave_out=all_methods
    )
    ground_truth = load_json(MetadataCatalog.get(args.dataset).json_file)
    rows = {name: score(ground_truth, found, milliseconds[name]) for name, found in results.items()}
    for name, found in results.items():
        path = args.output / f"results_{name.replace(' ', '_')}.json"
        path.write_text(json.dumps(found))
    lines = [f"The detector takes {milliseconds['detector']:.1f} ms a frame.", *left_out]
    text = "\n\n".join([table(rows), *lines]) + "\n"
    (args.output / "table.md").write_text(text)
    (args.output / "table.json").write_text(json.dumps(rows, indent=2))
    if args.sweep:
        plot(args.sweep, rows, args.output / f"{args.sweep}.png")
    print(text)


def main(argv: list[str] | None = None) -> None:
    """The command: one clear line and exit status 2 for input that cannot be used."""
    args = parse_args(argv)
    setup_logger(name="maskprop_d2")
    logging.captureWarnings(True)
    run_command(lambda: run(args))


if __name__ == "__main__":
    main()
