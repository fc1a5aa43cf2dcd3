"""The evaluation command on synthetic data: wall time and peak memory. By default, the first row is
a small set, and the second row has the size of YouTube-VIS 2019's validation set."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

CATEGORIES = 40
ANGLES = np.linspace(0, 2 * np.pi, 48, endpoint=False)
TIMED = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - start
print([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss])
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sizes of the sets."""
    parser.add_argument("--videos", type=int, nargs="+", default=[60, 302])
    parser.add_argument("--predictions", type=int, nargs="+", default=[900, 30_000])
    parser.add_argument("--frames", type=int, default=36, help="frames per video")
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="keep the data in this folder")


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each pair of ``--videos`` and ``--predictions``."""
    rows = []
    for videos, predictions in zip(args.videos, args.predictions, strict=True):
        with tempfile.TemporaryDirectory() as temporary:
            folder = (args.keep or Path(temporary)) / f"{videos}_{predictions}"
            draw(folder, videos, predictions, args)
            row = measure(folder, args.repeats)
        rows.append({"videos": videos, "predictions": predictions, "frames": args.frames, **row})
        print("  ".join(f"{k} {v:.4g}" for k, v in rows[-1].items()), flush=True)
    return rows


def draw(folder: Path, videos: int, predictions: int, args: argparse.Namespace) -> None:
    """Write ``gt.json`` with moving ellipses and ``results.json`` with noisy copies of them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    objects = [draw_object(rng, video) for video in range(1, videos + 1) for _ in range(2)]
    truth = {
        "videos": [
            {
                "id": i,
                "height": args.height,
                "width": args.width,
                "length": args.frames,
                "file_names": [f"{i:04d}/{5 * t:05d}.jpg" for t in range(args.frames)],
            }
            for i in range(1, videos + 1)
        ],
        "categories": [{"id": i, "name": f"category {i}"} for i in range(1, CATEGORIES + 1)],
        "annotations": [
            {**track(rng, x, 0, args), "id": i, "iscrowd": 0} for i, x in enumerate(objects, 1)
        ],
    }
    (folder / "gt.json").write_text(json.dumps(truth))
    with open(folder / "results.json", "w", encoding="utf-8") as file:
        # One entry at a time, to save memory.
        for i, entry in enumerate(draw_predictions(rng, objects, predictions, args)):
            file.write(("," if i else "[") + json.dumps(entry))
        file.write("]")


def draw_object(rng: np.random.Generator, video: int) -> dict[str, Any]:
    """A random ellipse: centre, radii, and motion per frame, as fractions of the frame size."""
    return {
        "video_id": video,
        "category_id": int(rng.integers(1, CATEGORIES + 1)),
        "centre": rng.uniform(0.2, 0.8, 2),
        "radii": rng.uniform(0.03, 0.2, 2),
        "motion": rng.normal(0, 0.005, 2),
    }


def draw_predictions(
    rng: np.random.Generator, objects: list[dict[str, Any]], number: int, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Noisy copies of the objects; about half have the right category."""
    for i in range(number):
        entry = track(rng, objects[i % len(objects)], 0.02, args)
        del entry["areas"]
        if rng.random() < 0.5:
            entry["category_id"] = int(rng.integers(1, CATEGORIES + 1))
        yield {**entry, "score": float(rng.random())}


def track(
    rng: np.random.Generator, ellipse: dict[str, Any], noise: float, args: argparse.Namespace
) -> dict[str, Any]:
    """The masks of an object that is seen in nine of ten frames."""
    masks: list[Any] = []
    areas: list[Any] = []
    for t in range(args.frames):
        if rng.random() < 0.1:
            masks.append(None)
            areas.append(None)
            continue
        y, x = ellipse["centre"] + t * ellipse["motion"] + rng.normal(0, noise, 2)
        ry, rx = ellipse["radii"] + rng.uniform(0, noise, 2)
        # Encoding polygons is much faster than encoding pixels.
        corners = (x + rx * np.cos(ANGLES)) * args.width, (y + ry * np.sin(ANGLES)) * args.height
        polygon = np.stack(corners, axis=1).ravel().tolist()
        rle = coco_mask.frPyObjects([polygon], args.height, args.width)[0]
        masks.append({"size": rle["size"], "counts": rle["counts"].decode()})
        areas.append(int(coco_mask.area(rle)))
    return {
        "video_id": ellipse["video_id"],
        "category_id": ellipse["category_id"],
        "segmentations": masks,
        "areas": areas,
    }


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """The wall time of the fastest of several runs, and the peak memory of the largest process."""
    evaluation = [sys.executable, "-m", "maskprop_d2.evaluation", "gt.json", "results.json"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    runs = []
    for _ in range(repeats):
        # A forked process starts with the peak memory of its parent: start from a small one.
        command = [sys.executable, "-c", TIMED, *evaluation]
        output = subprocess.run(
            command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE
        )
        runs.append(json.loads(output.stdout))
    megabytes = sum((folder / x).stat().st_size for x in ("gt.json", "results.json")) / 1e6
    return {
        "files_mb": megabytes,
        "seconds": min(seconds for seconds, _ in runs),
        "peak_mb": max(kilobytes for _, kilobytes in runs) / 1024,
    }
