"""``maskprop_d2.link`` without a detector: time per frame and peak memory by the length of the
video, with which neither must grow. DIS optical flow of the same frames is for comparison."""

import argparse
import resource
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from maskprop_d2 import link
from maskprop_d2.structures import Detections


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The size of the frames, and the numbers of frames and instances."""
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=432)
    parser.add_argument("--lengths", type=int, nargs="+", default=[30, 120])
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--trackers", nargs="+", default=["maskprop", "flow"])


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each tracker and length, and one for optical flow."""
    rows = []
    for tracker in args.trackers:
        for length in args.lengths:
            scene = Scene(args.height, args.width, args.instances, length)
            rows.append({"method": tracker, "frames": length, **measure(tracker, scene)})
            print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    rows.append({"method": "DIS flow", "ms_per_frame": measure_flow(scene)})
    print(f"DIS flow: {rows[-1]['ms_per_frame']} ms")
    return rows


class Scene:
    """Textured rectangles that swing to and fro before a textured background."""

    def __init__(self, height: int, width: int, instances: int, length: int):
        rng = np.random.default_rng(0)
        self.length, self.instances = length, instances
        self.columns = -(-instances // 2)
        self.side = min(height // 3, width // (self.columns + 2))
        self.background = self._texture(rng, height, width)
        self.textures = [self._texture(rng, self.side, self.side) for _ in range(instances)]

    def _texture(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        blots = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        return cv2.resize(blots, (width, height), interpolation=cv2.INTER_CUBIC)

    def _place(self, k: int, t: int) -> tuple[slice, slice]:
        height, width = self.background.shape[:2]
        left = int((k // 2 + 0.5) * width / (self.columns + 1) + 8 * np.sin(0.2 * t + k))
        top = int((0.08 + 0.5 * (k % 2)) * height + 8 * np.cos(0.2 * t + k))
        return slice(max(top, 0), top + self.side), slice(max(left, 0), left + self.side)

    def frames(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB."""
        for t in range(self.length):
            image = self.background.copy()
            for k, texture in enumerate(self.textures):
                region = image[self._place(k, t)]
                region[:] = texture[: region.shape[0], : region.shape[1]]
            yield image

    def detections(self) -> Iterator[Detections]:
        """All rectangles in each frame."""
        shape = self.background.shape[:2]
        for t in range(self.length):
            masks = np.zeros((self.instances, *shape), bool)
            for k, mask in enumerate(masks):
                mask[self._place(k, t)] = True
            scores = np.full(self.instances, 0.9, np.float32)
            yield Detections(masks, scores, np.zeros(self.instances, np.int64))


def measure(tracker: str, scene: Scene) -> dict[str, Any]:
    """Median milliseconds per frame, and the peak memory of the process so far."""
    times, ids = [time.perf_counter()], set()
    stream = link(scene.frames(), scene.detections(), tracker=tracker)
    for result in stream:
        times.append(time.perf_counter())
        ids.update(result.track_ids)
    milliseconds = 1000 * statistics.median(np.diff(times[len(times) // 4 :]))
    return {
        "tracks": len(ids),
        "ms_per_frame": round(float(milliseconds), 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def measure_flow(scene: Scene) -> float:
    """Median milliseconds of one flow between neighbouring frames."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grays = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in scene.frames()][:30]
    times = []
    for a, b in pairwise(grays):
        start = time.perf_counter()
        flow.calc(a, b, None)
        times.append(time.perf_counter() - start)
    return round(1000 * statistics.median(times), 1)
