#!/usr/bin/env python3
"""Make MovingShapes, a synthetic data set in YouTube-VIS's own layout.

    python datasets/make_moving_shapes.py --output DIR --train 400 --val 40 --seed 1

writes ``{train,valid}.json`` and ``{train,valid}/JPEGImages/<video>/<frame>.jpg``. The same
arguments give the same bytes.
"""

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent))
from moving_shapes import CATEGORIES, VERSION, draw_video

from maskprop_d2.files import atomic_folder
from maskprop_d2.ytvis.writing import track_fields


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; exits with status 2 and one line of text if it makes no sense."""
    parser = _Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--train", type=int, required=True, help="number of training videos")
    parser.add_argument("--val", type=int, required=True, help="number of validation videos")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--length", type=int, default=24, help="frames a video")
    parser.add_argument("--hard", action="store_true", help="fast, crowded, much occlusion")
    args = parser.parse_args(argv)
    least_values = {"train": 0, "val": 0, "seed": 0, "height": 32, "width": 32, "length": 1}
    for name, least in least_values.items():
        if getattr(args, name) < least:
            parser.error(f"--{name} must be at least {least}, not {getattr(args, name)}")
    return args


def make_data_set(args: argparse.Namespace) -> bool:
    """Make the data set, whole or not at all.

    Returns:
        False if it is there already, made with these arguments by this version.

    Raises:
        FileExistsError: if the folder holds something else.
    """
    output: Path = args.output
    info = {key: value for key, value in sorted(vars(args).items()) if key != "output"}
    info["version"] = VERSION
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        if _info_of(output) == info:
            return False
        raise FileExistsError(
            f"{output} exists and was not made with these arguments and this version: "
            "remove it, or name another folder"
        )
    # Forked from a process that has threads, the others could wait for ever for a lock.
    context = multiprocessing.get_context("spawn")
    with atomic_folder(output) as folder, ProcessPoolExecutor(mp_context=context) as pool:
        for split, number in ((0, args.train), (1, args.val)):
            make_split(folder, split, number, info, pool)
    return True


def _info_of(output: Path) -> Any:
    """The arguments that a data set was made with, None if there is no data set."""
    try:
        return json.loads((output / "valid.json").read_text())["info"]
    except (OSError, ValueError, KeyError):
        return None


def make_split(
    folder: Path, split: int, number: int, info: dict[str, Any], pool: ProcessPoolExecutor
) -> None:
    """Draw and write the videos of a split, 0 is train, 1 is valid, in a pool's processes."""
    name = ("train", "valid")[split]
    frames_folder = folder / name / "JPEGImages"
    frames_folder.mkdir(parents=True)
    videos, annotations = [], []
    make = partial(make_video, frames_folder, split, info)
    made = tqdm(pool.map(make, range(number)), total=number, desc=name, unit="video")
    for video, tracks in made:
        videos.append(video)
        for track in tracks:
            annotations.append({"id": len(annotations) + 1, **track})
    categories = [
        {"id": i, "name": category, "supercategory": "shape"}
        for i, category in enumerate(CATEGORIES, start=1)
    ]
    data = {
        "info": info,
        "licenses": [],
        "videos": videos,
        "categories": categories,
        "annotations": annotations,
    }
    (folder / f"{name}.json").write_text(json.dumps(data))


def make_video(
    folder: Path, split: int, info: dict[str, Any], index: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw one video and write its frames.

    Returns:
        its entry for ``videos``, and those for ``annotations``, still without their ids.
    """
    cv2.setNumThreads(1)
    # Of this video alone, so that it does not depend on how many there are.
    rng = np.random.default_rng([info["seed"], int(info["hard"]), split, index])
    size = {key: info[key] for key in ("height", "width", "length")}
    frames, tracks = draw_video(rng, hard=info["hard"], **size)
    name = f"{('train', 'valid')[split]}_{index:05d}"
    (folder / name).mkdir()
    file_names = []
    for t, frame in enumerate(frames):
        file_names.append(f"{name}/{t:05d}.jpg")
        path = str(folder / file_names[-1])
        if not cv2.imwrite(path, frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise OSError(f"{path} cannot be written")
    video = {"id": index + 1, **size, "file_names": file_names}
    annotations = [
        {"video_id": index + 1, "category_id": category + 1, "iscrowd": 0, **size, **_encode(masks)}
        for category, masks in tracks
        if any(mask is not None for mask in masks)
    ]
    return video, annotations


def _encode(masks: list[np.ndarray | None]) -> dict[str, list[Any]]:
    """``segmentations``, ``bboxes`` and ``areas`` of a track, None where it is not seen."""
    rles = [None if m is None else coco_mask.encode(np.asfortranarray(m, np.uint8)) for m in masks]
    return track_fields([r and {**r, "counts": r["counts"].decode()} for r in rles])


def main(argv: list[str] | None = None) -> None:
    """The command."""
    args = parse_args(argv)
    try:
        made = make_data_set(args)
    except OSError as error:
        print(f"make_moving_shapes.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{args.output} {'made' if made else 'is there already, made with these arguments'}")


if __name__ == "__main__":
    main()
