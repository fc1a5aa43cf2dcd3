"""Linking alone, with given detections and propagated masks: time per frame by the length of the
video, with which it must not grow, and by the number of instances."""

import argparse
import math
import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import TRACKERS, FrameNetwork, build_tracker, option_names

STRIDE = 8
IMAGE = np.full((360, 640, 3), 127, np.uint8)
GRID = (45, 80)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trackers, lengths and numbers of instances to measure."""
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--instances", type=int, nargs="+", default=[5, 10, 50])
    parser.add_argument("--clip-radius", type=int, default=6)
    parser.add_argument("--trackers", nargs="+", default=["maskprop", "iou"], choices=TRACKERS)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each tracker, length and number of instances."""
    rows = []
    for tracker in args.trackers:
        for instances in args.instances:
            for length in args.lengths:
                row = measure(tracker, args.clip_radius, instances, length)
                print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
                rows.append(row)
    return rows


@torch.inference_mode()
def measure(name: str, clip_radius: int, instances: int, length: int) -> dict[str, Any]:
    """One row: median milliseconds per frame, of all frames, the first and the last hundred."""
    options = {"clip_radius": clip_radius, "threshold": 0.1}
    known = option_names(name)
    tracker = build_tracker(
        name, PerfectPropagation(), **{k: v for k, v in options.items() if k in known}
    )
    milliseconds, ids = [], set()
    for t in range(length):
        frame = Frame(t, IMAGE, detections(instances, t))
        start = time.perf_counter()
        tracked = tracker.add(frame)
        milliseconds.append(1000 * (time.perf_counter() - start))
        ids.update(y for x in tracked for y in x.ids)
    ids.update(y for x in tracker.finish() for y in x.ids)
    return {
        "tracker": name,
        "instances": instances,
        "frames": length,
        "tracks": len(ids),
        "ms_per_frame": round(statistics.median(milliseconds), 3),
        "ms_first_100": round(statistics.median(milliseconds[:100]), 3),
        "ms_last_100": round(statistics.median(milliseconds[-100:]), 3),
    }


class PerfectPropagation(FrameNetwork):
    """Propagates masks to the detections of the target frames."""

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        return torch.stack([x.grid_masks for x in targets])


def detections(instances: int, t: int) -> FrameOutput:
    """Soft disks of one category, each moving along its own circle."""
    grid_masks, centers, radius = draw(instances, t)
    return FrameOutput(
        boxes_video=torch.cat([centers - radius, centers + radius], dim=1) * STRIDE,
        scores=torch.ones(instances),
        class_scores=torch.tensor([1.0, 0.0]).expand(instances, 2),
        box_masks=torch.ones(instances, 28, 28),
        grid_masks=grid_masks,
        grid_box_video=torch.tensor([0.0, 0.0, *reversed(GRID)]) * STRIDE,
    )


def draw(instances: int, t: int) -> tuple[Tensor, Tensor, float]:
    """(N, h, w) masks of disks, (N, 2) centres (x, y), and their radius in cells."""
    height, width = GRID
    i = torch.arange(instances)[:, None, None]
    angle = 0.05 * t + i
    center_y = height * (0.5 + 0.4 * torch.sin(angle) * torch.cos(2.0 * i))
    center_x = width * (0.5 + 0.4 * torch.cos(angle + i) * torch.sin(3.0 * i))
    y, x = torch.arange(height)[:, None], torch.arange(width)
    radius = 0.5 * height / math.sqrt(instances)
    masks = (radius - torch.hypot(y - center_y, x - center_x)).sigmoid()
    return masks, torch.cat([center_x, center_y], dim=1)[:, :, 0], radius
