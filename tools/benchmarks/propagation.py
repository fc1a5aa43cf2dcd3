"""Time of the literal and the fused propagation branch: from masks and offsets to the output of
the classifier's first layer, in one target frame. The offset predictor, which both share, is
measured separately.

The masks are soft disks in boxes, like those of the mask head, and cover a quarter of the grid: the
fused path only computes taps that sample a mask. With ``--dense`` they cover all of the grid, the
worst case."""

import argparse
import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.clock import seconds
from torch import Tensor

from maskprop_d2.networks.base import PRECISIONS
from maskprop_d2.networks.propagation import PropagationBranch
from maskprop_d2.ops.masks import paste_masks

CHANNELS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sizes to measure."""
    parser.add_argument("--sizes", type=size, nargs="+", default=[(45, 80), (100, 168)])
    parser.add_argument("--instances", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--hidden", type=int, nargs="+", default=[0, 16])
    parser.add_argument("--dense", action="store_true", help="masks that cover the whole grid")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--literal-repeats", type=int, default=3)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per grid size, number of instances and number of hidden channels."""
    rows = []
    dtype = getattr(torch, args.precision)
    for (height, width), *sizes in itertools.product(args.sizes, args.instances, args.hidden):
        with torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
            row = measure_propagation(height, width, *sizes, args)
        print("  ".join(f"{k} {v:.3g}" for k, v in row.items()), flush=True)
        rows.append(row)
    return rows


@torch.inference_mode()
def measure_propagation(
    height: int, width: int, instances: int, hidden: int, args: argparse.Namespace
) -> dict[str, Any]:
    """One row: median seconds, and the largest difference of the two outputs."""
    torch.manual_seed(0)
    branch = PropagationBranch(
        in_channels=CHANNELS,
        offset_channels=128,
        num_groups=32,
        dilations=[3, 6, 12],
        hidden_dim=hidden,
        background=True,
        impl="fused",
    ).to(args.device)
    # With its initial weights, the warp only copies.
    for parameter in branch.parameters():
        parameter += 0.01 * torch.randn_like(parameter)
    source, target = torch.randn(2, 1, CHANNELS, height, width, device=args.device)
    if args.dense:
        masks = torch.rand(instances, height, width, device=args.device)
    else:
        masks = draw_masks(instances, height, width).to(args.device)
    offsets = 3 * torch.randn(1, 27, 2, height, width, device=args.device)

    def literal() -> Tensor:
        return branch.first_layer_literal(
            masks, {"features": source[0]}, {"features": target}, offsets
        )

    def fused() -> Tensor:
        # Includes the folded maps, although they are computed once per frame for all targets.
        maps = {name: m[0] for name, m in branch.encode_first_layer(source).items()}
        targets = {"target": branch.classifier(target)}
        return branch.first_layer_fused(masks, maps, targets, offsets)

    predictor = branch.offset_predictor
    motion = predictor.encode(source) - predictor.encode(target)
    difference = (literal() - fused()).abs().max().item()
    literal_s = median_seconds(literal, args.literal_repeats)
    fused_s = median_seconds(fused, args.repeats)
    return {
        "threads": torch.get_num_threads(),
        "height": height,
        "width": width,
        "instances": instances,
        "hidden": hidden,
        "covered": (masks > 0).any(0).float().mean().item(),
        "literal_s": literal_s,
        "fused_s": fused_s,
        "speedup": literal_s / fused_s,
        "max_abs_diff": difference,
        "offsets_s": median_seconds(lambda: predictor(motion), args.repeats),
    }


def draw_masks(instances: int, height: int, width: int) -> Tensor:
    """(N, h, w) soft disks in random square boxes whose areas add up to a quarter of the grid."""
    side = math.sqrt(height * width / 4 / instances)
    corners = torch.rand(instances, 2) * (torch.tensor([width, height]) - side)
    across = torch.linspace(-1, 1, 28)
    disk = (20 * (0.9 - torch.hypot(across[:, None], across))).sigmoid()
    boxes = torch.cat([corners, corners + side], dim=1)
    return paste_masks(disk.expand(instances, -1, -1), boxes, height, width)


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of ``repeats`` runs, without warm-up."""
    times = []
    for _ in range(repeats):
        start = seconds()
        run()
        times.append(seconds() - start)
    return statistics.median(times)


def size(text: str) -> tuple[int, int]:
    """Parse height and width, as in ``100x168``."""
    height, width = text.split("x")
    return int(height), int(width)
