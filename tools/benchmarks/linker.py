"""Linking clips into tracks: the cost of a frame as the video grows, and with the number of
instances. Flat over the length means that no step looks further back than the clips overlap."""

import argparse
import math
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from maskprop_d2.structures import ClipTracks
from maskprop_d2.tracking import build_tracker

GRID = (45, 80)
"""Of a frame of 360x640 pixels at stride 8."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be measured."""
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--instances", type=int, nargs="+", default=[5, 10, 50])
    parser.add_argument("--clip-radius", type=int, default=6)
    parser.add_argument("--trackers", nargs="+", default=["maskprop", "iou"])


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
    """One row: milliseconds a frame (medians) over all frames, the first and the last hundred."""
    make = build_tracker(name, clip_radius=clip_radius, threshold=0.1, exclusive=True)
    tracker = make()
    frames = [draw(instances, t) for t in range(-tracker.clip_radius, tracker.clip_radius)]
    milliseconds, ids = [], set()
    for t in range(length):
        frames.append(draw(instances, t + tracker.clip_radius))
        clip = ClipTracks(
            center=t,
            start=t - tracker.clip_radius,
            masks=torch.stack(frames),
            class_scores=torch.ones(instances, 2),
        )
        frames.pop(0)
        start = time.perf_counter()
        ids.update(tracker.step(clip))
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {
        "tracker": name,
        "instances": instances,
        "frames": length,
        "tracks": len(ids),
        "ms_a_frame": round(statistics.median(milliseconds), 3),
        "ms_first_100": round(statistics.median(milliseconds[:100]), 3),
        "ms_last_100": round(statistics.median(milliseconds[-100:]), 3),
    }


def draw(instances: int, t: int) -> Tensor:
    """(N, h, w) soft disks, which go around in circles of their own."""
    height, width = GRID
    i = torch.arange(instances)[:, None, None]
    angle = 0.05 * t + i
    center_y = height * (0.5 + 0.4 * torch.sin(angle) * torch.cos(2.0 * i))
    center_x = width * (0.5 + 0.4 * torch.cos(angle + i) * torch.sin(3.0 * i))
    y, x = torch.arange(height)[:, None], torch.arange(width)
    radius = 0.5 * height / math.sqrt(instances)
    return (radius - torch.hypot(y - center_y, x - center_x)).sigmoid()
