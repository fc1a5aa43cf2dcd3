#!/usr/bin/env python3
"""Make MovingShapes, a synthetic dataset in YouTube-VIS format.

    python datasets/make_moving_shapes.py --output DIR --train 400 --val 40 --seed 1

writes ``{train,valid}.json`` and ``{train,valid}/JPEGImages/<video>/<frame>.jpg``. The same
arguments give the same bytes.
"""

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
from moving_shapes import VERSIONS, draw_video
from shape_hiding import HIDDEN_FRAMES, MIN_LENGTHS
from tqdm import tqdm

from maskprop_d2.errors import run_command
from maskprop_d2.files import atomic_folder
from maskprop_d2.ops.rle import encode
from maskprop_d2.ytvis.categories import MOVING_SHAPES
from maskprop_d2.ytvis.writing import track_fields

SPLITS = ("train", "valid")
LEVELS = {
    "medium": "look-alikes, and objects that are hidden for {} to {} frames",
    "hard": "fast, crowded, with much occlusion",
    "hidden": "objects that come back after {} to {} frames",
}


class _Parser(argparse.ArgumentParser):
    """Reports bad arguments in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def make_data_set(args: argparse.Namespace) -> None:
    """Make the dataset, unless it exists already, made with these arguments by this version.

    Raises:
        FileExistsError: if the folder holds something else.
    """
    output: Path = args.output
    info = _get_info(args)
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        if _read_info(output) != info:
            raise FileExistsError(
                f"{output} exists and was not made with these arguments and this version: "
                "remove it, or choose another folder"
            )
        print(f"{output} exists already, made with these arguments")
        return
    # Forking a process with threads can hang.
    context = multiprocessing.get_context("spawn")
    with atomic_folder(output) as folder, ProcessPoolExecutor(mp_context=context) as pool:
        for split, number in enumerate((args.train, args.val)):
            make_split(folder, split, number, args, pool)
    print(f"wrote {output}")


def _get_info(args: argparse.Namespace) -> dict[str, Any]:
    """What the annotation file says of how it was made."""
    info = {key: value for key, value in vars(args).items() if key not in ("output", "level")}
    # As in version 2, so that plain and hard videos keep their bytes.
    if args.level in ("plain", "hard"):
        info["hard"] = args.level == "hard"
    else:
        info["level"] = args.level
    return {**dict(sorted(info.items())), "version": VERSIONS[args.level]}


def _read_info(output: Path) -> Any:
    """The arguments that a dataset was made with, None if there is no dataset."""
    try:
        return json.loads((output / "valid.json").read_text())["info"]
    except (OSError, ValueError, KeyError):
        return None


def make_split(
    folder: Path, split: int, number: int, args: argparse.Namespace, pool: ProcessPoolExecutor
) -> None:
    """Draw and write the videos of a split.

    Args:
        folder: of the dataset.
        split: index in ``SPLITS``.
        number: of videos.
        args: of the command.
        pool: draws the videos.
    """
    name = SPLITS[split]
    frames_folder = folder / name / "JPEGImages"
    frames_folder.mkdir(parents=True)
    videos, annotations = [], []
    make = partial(make_video, frames_folder, split, args)
    for video, tracks in tqdm(pool.map(make, range(number)), total=number, desc=name, unit="video"):
        videos.append(video)
        for track in tracks:
            annotations.append({"id": len(annotations) + 1, **track})
    categories = [
        {"id": i, "name": category, "supercategory": "shape"}
        for i, category in enumerate(MOVING_SHAPES, start=1)
    ]
    data = {
        "info": _get_info(args),
        "licenses": [],
        "videos": videos,
        "categories": categories,
        "annotations": annotations,
    }
    (folder / f"{name}.json").write_text(json.dumps(data))


def make_video(
    folder: Path, split: int, args: argparse.Namespace, index: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw a video and write its frames.

    Returns:
        its entry of ``videos``, and its entries of ``annotations`` without their ids.
    """
    cv2.setNumThreads(1)
    # Every video has its own generator, so that it does not depend on the number of videos.
    level = list(VERSIONS).index(args.level)
    rng = np.random.default_rng([args.seed, level, split, index])
    size = {"height": args.height, "width": args.width, "length": args.length}
    frames, tracks = draw_video(rng, level=args.level, **size)
    name = f"{SPLITS[split]}_{index:05d}"
    (folder / name).mkdir()
    file_names = []
    for t, frame in enumerate(frames):
        file_names.append(f"{name}/{t:05d}.jpg")
        path = str(folder / file_names[-1])
        if not cv2.imwrite(path, frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"{path} cannot be written")
    video = {"id": index + 1, **size, "file_names": file_names}
    annotations = [
        {
            "video_id": index + 1,
            "category_id": category + 1,
            "iscrowd": 0,
            **size,
            **track_fields([None if mask is None else encode(mask) for mask in masks]),
        }
        for category, masks in tracks
        if any(mask is not None for mask in masks)
    ]
    return video, annotations


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = _Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--train", type=int, required=True, help="number of training videos")
    parser.add_argument("--val", type=int, required=True, help="number of validation videos")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument(
        "--length", type=int, help="frames per video (default: 24; with --hidden 40)"
    )
    level = parser.add_mutually_exclusive_group()
    for name, text in LEVELS.items():
        text = text.format(*HIDDEN_FRAMES.get(name, ()))
        level.add_argument(
            f"--{name}", action="store_const", const=name, dest="level", default="plain", help=text
        )
    args = parser.parse_args(argv)
    if args.length is None:
        args.length = 40 if args.level == "hidden" else 24
    minimum = {"train": 0, "val": 0, "seed": 0, "height": 32, "width": 32}
    minimum["length"] = MIN_LENGTHS.get(args.level, 1)
    for name, least in minimum.items():
        if getattr(args, name) < least:
            parser.error(f"--{name} must be at least {least}, not {getattr(args, name)}")
    run_command(lambda: make_data_set(args))


if __name__ == "__main__":
    main()
