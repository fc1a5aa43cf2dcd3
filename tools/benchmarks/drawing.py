"""Time of everything the demo does besides the model: decoding a video, drawing tracks, encoding.
On a noisy clip of moving objects, for each stage alone and for all of them as in the demo."""

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskprop_d2.ops.rle import encode
from maskprop_d2.structures import RLE
from maskprop_d2.video import VideoFile
from maskprop_d2.video.drawing import Trails, draw_tracks
from maskprop_d2.video.id_masks import IdMaskWriter, draw_id_mask
from maskprop_d2.video.prefetch import prefetch
from maskprop_d2.video.writing import VideoWriter

FPS = 25
ANGLES = np.linspace(0, 2 * np.pi, 60, endpoint=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The clip."""
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--instances", type=int, default=10)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per stage, and one for all of them."""
    with tempfile.TemporaryDirectory() as temporary:
        return measure(Path(temporary), args)


def measure(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Wall time, and CPU time of all threads, in milliseconds per frame."""
    clip = folder / "clip.mp4"
    masks = [draw_masks(args, t) for t in range(args.frames)]
    with VideoWriter(clip, FPS) as writer:
        for t, rles in enumerate(masks):
            writer.write(draw_frame(args, rles, t))
    frame = next(iter(VideoFile(clip)))
    size = frame.shape[:2]
    track_ids = list(range(args.instances))
    names, scores = ["object"] * args.instances, [0.9] * args.instances

    def draw(frames: Iterator[np.ndarray], trails: Trails | None = None) -> Iterator[np.ndarray]:
        for image, rles in zip(frames, masks, strict=True):
            yield draw_tracks(image, rles, track_ids, names, scores, trails)

    def same() -> Iterator[np.ndarray]:
        return iter([frame] * args.frames)

    def write(frames: Iterator[np.ndarray]) -> None:
        with VideoWriter(folder / "out.mp4", FPS) as writer:
            for image in frames:
                writer.write(image)

    def write_id_masks() -> None:
        id_masks = IdMaskWriter(folder / "ids")
        for i, rles in enumerate(masks):
            id_masks.write(draw_id_mask(rles, track_ids, scores, *size), str(i))

    def whole() -> None:
        with prefetch(VideoFile(clip), 8) as ahead:
            write(draw(ahead))

    annotated = list(draw(iter(VideoFile(clip))))
    stages: dict[str, Callable[[], object]] = {
        "decode": lambda: deque(VideoFile(clip), maxlen=0),
        "draw": lambda: deque(draw(same()), maxlen=0),
        "draw_with_trails": lambda: deque(draw(same(), Trails(FPS)), maxlen=0),
        "encode": lambda: write(iter(annotated)),
        "id_masks": write_id_masks,
        "decode_draw_encode": whole,
    }
    rows = []
    for what, stage in stages.items():
        wall, cpu = time.perf_counter(), time.process_time()
        stage()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rows.append(
            {
                "what": what,
                "instances": args.instances,
                "ms_per_frame": round(1000 * wall / args.frames, 2),
                "cpu_ms_per_frame": round(1000 * cpu / args.frames, 2),
                "frames_per_second": round(args.frames / wall, 1),
            }
        )
        print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    return rows


def draw_masks(args: argparse.Namespace, t: int) -> list[RLE]:
    """Wavy blobs on different orbits, an eighth of the frame wide."""
    rles = []
    for i in range(args.instances):
        angle = 0.05 * t + i
        center_x = args.width * (0.5 + 0.4 * np.cos(angle + i) * np.sin(3.0 * i + 1))
        center_y = args.height * (0.5 + 0.35 * np.sin(angle) * np.cos(2.0 * i))
        radius = args.width / 16 * (1 + 0.15 * np.sin(7 * ANGLES + angle))
        outline = center_x + radius * np.cos(ANGLES), center_y + radius * np.sin(ANGLES)
        mask = np.zeros((args.height, args.width), np.uint8)
        cv2.fillPoly(mask, [np.stack(outline, axis=1).round().astype(np.int32)], 1)
        rles.append(encode(mask))
    return rles


def draw_frame(args: argparse.Namespace, rles: list[RLE], t: int) -> np.ndarray:
    """A moving background, grey objects and film grain."""
    rng = np.random.default_rng(t)
    coarse = np.random.default_rng(0).integers(40, 200, (9, 16, 3), dtype=np.uint8)
    frame = cv2.resize(coarse, (args.width, args.height), interpolation=cv2.INTER_CUBIC)
    frame = np.roll(frame, 2 * t, axis=1)
    frame[draw_id_mask(rles, list(range(len(rles))), [1.0] * len(rles), *frame.shape[:2]) > 0] = 128
    noise = rng.normal(0, 4, frame.shape[:2])[:, :, None]
    return np.clip(frame + noise, 0, 255).astype(np.uint8)
