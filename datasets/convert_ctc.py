#!/usr/bin/env python3
"""Convert sequences of the Cell Tracking Challenge to YouTube-VIS format.

    python datasets/convert_ctc.py --output datasets/hela/val.json --images datasets/hela/val \\
        --sequences Fluo-N2DL-HeLa/01 --border 25

reads the frames in Fluo-N2DL-HeLa/01 and the label images in Fluo-N2DL-HeLa/01_ST/SEG (--masks).
A cell and its daughters are three tracks. Frames are written as PNGs of 8 bits.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ctc_files import find_images, read_tracks
from tqdm import tqdm
from windows import make_windows

from maskprop_d2.commands.arguments import at_least
from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.files import atomic_folder
from maskprop_d2.ops.rle import encode
from maskprop_d2.video.id_masks import read_id_mask
from maskprop_d2.video.images import read_pixels
from maskprop_d2.ytvis.writing import track_fields, write_annotations

CATEGORY = "cell"


class Brightness:
    """Converts frames of 16 bits to 8 bits, with the same range for a whole sequence.

    The darkest percent of the pixels becomes black and the brightest 0.2 % white. Between them, the
    square root keeps dim cells visible, which are some percent as bright as the brightest.
    """

    def __init__(self, frames: Iterable[np.ndarray]):
        histogram = np.zeros(2**16, np.int64)
        for frame in frames:
            histogram += np.bincount(frame.ravel(), minlength=2**16)
        share = np.cumsum(histogram) / histogram.sum()
        low, high = np.searchsorted(share, (0.01, 0.998))
        values = (np.arange(2**16) - low) / max(high - low, 1)
        self._table = np.rint(255 * np.sqrt(values.clip(0, 1))).astype(np.uint8)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(H, W) uint16 -> uint8."""
        return self._table[frame]


def read_frame(path: Path) -> np.ndarray:
    """(H, W) uint8 or uint16.

    Raises:
        VideoError, AnnotationError: if it is not such an image.
    """
    frame = read_pixels(str(path), cv2.IMREAD_UNCHANGED)
    if frame.ndim != 2 or frame.dtype not in (np.uint8, np.uint16):
        raise AnnotationError(f"{path} must be a greyscale image of 8 or 16 bits")
    return frame


def pair_files(folder: Path, masks: str) -> dict[int, tuple[Path, Path]]:
    """The frames of a sequence that have a label image, and that image, by number.

    Raises:
        AnnotationError: if there are none, or a label image has no frame.
    """
    frames, labels = find_images(folder), find_images(folder.parent / f"{folder.name}_{masks}")
    if missing := labels.keys() - frames.keys():
        raise AnnotationError(f"{labels[min(missing)]} has no frame in {folder}")
    return {number: (frames[number], labels[number]) for number in labels}


def read_pair(paths: tuple[Path, Path], like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame and its label image.

    Raises:
        AnnotationError, VideoError: if they cannot be read, or are not ``like`` the first frame.
    """
    frame, labels = read_frame(paths[0]), read_id_mask(paths[1])
    for path, size in zip(paths, (frame.shape, labels.shape), strict=True):
        if size != like.shape:
            raise AnnotationError(
                f"{path} has {size[1]} x {size[0]} pixels, but the first frame has "
                f"{like.shape[1]} x {like.shape[0]}"
            )
    if frame.dtype != like.dtype:
        raise AnnotationError(f"{paths[0]} has {frame.dtype} pixels, the first frame {like.dtype}")
    return frame, labels


def convert_sequence(
    folder: Path, masks: str, border: int, tile: int | None, images: Path
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Write the frames of a sequence, and yield a video and its tracks for each window.

    Raises:
        AnnotationError, VideoError: if files cannot be used or do not match.
    """
    pairs = pair_files(folder, masks)
    parents = read_parents(folder)
    first = read_frame(next(iter(pairs.values()))[0])
    windows = make_windows(folder.name, *first.shape, border, tile)
    to_8_bits = None
    if first.dtype == np.uint16:
        to_8_bits = Brightness(read_frame(frame) for frame, _ in pairs.values())
    rles: list[dict[int, list[Any]]] = [{} for _ in windows]
    progress = tqdm(pairs.items(), desc=folder.name, unit="frame", disable=None)
    for t, (number, paths) in enumerate(progress):
        frame, labels = read_pair(paths, first)
        frame = frame if to_8_bits is None else to_8_bits(frame)
        for window, tracks in zip(windows, rles, strict=True):
            path = images / window.name / f"t{number:03d}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), window.cut(frame))
            part = window.cut(labels)
            for label in np.unique(part[part > 0]).tolist():
                tracks.setdefault(label, [None] * len(pairs))[t] = encode(part == label)
    for window, tracks in zip(windows, rles, strict=True):
        video = {"height": window.y1 - window.y0, "width": window.x1 - window.x0}
        video["file_names"] = [f"{window.name}/t{number:03d}.png" for number in pairs]
        cells = [
            {"label": label, "parent": parents.get(label, 0), "segmentations": track}
            for label, track in sorted(tracks.items())
        ]
        yield video, cells


def read_parents(folder: Path) -> dict[int, int]:
    """The parents' labels, 0 for none, by label, from ``man_track.txt`` if there is one."""
    path = folder.parent / f"{folder.name}_GT/TRA/man_track.txt"
    return {x.label: x.parent for x in read_tracks(path).values()} if path.exists() else {}


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError, VideoError: if files cannot be used or do not match.
    """
    names = [x.name for x in args.sequences]
    if len(set(names)) < len(names):
        raise AnnotationError(f"--sequences must have different names, not {' '.join(names)}")
    videos, tracks = [], []
    with atomic_folder(args.images) as images:
        for folder in args.sequences:
            for video, cells in convert_sequence(
                folder, args.masks, args.border, args.tile, images
            ):
                for start in range(min(args.every, len(video["file_names"]))):
                    part = slice(start, None, args.every)
                    videos.append({**video, "file_names": video["file_names"][part]})
                    for cell in cells:
                        if any(masks := cell["segmentations"][part]):
                            ids = {"video_id": len(videos), "category_id": 1}
                            tracks.append({**ids, **cell, **track_fields(masks)})
    print(write_annotations(args.output, videos, [CATEGORY], tracks))


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sequences", type=Path, nargs="+", required=True, help="folders of frames (t000.tif)"
    )
    parser.add_argument(
        "--masks",
        default="ST/SEG",
        metavar="NAME",
        help="label images of sequence 01 are in 01_NAME (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    parser.add_argument("--images", type=Path, required=True, help="folder to write, replaced")
    parser.add_argument(
        "--border",
        type=at_least(0),
        default=0,
        metavar="E",
        help="cut off this many pixels at each edge: outside the challenge's field of interest, "
        "cells have no mask (default: %(default)s)",
    )
    parser.add_argument(
        "--tile",
        type=at_least(1),
        metavar="SIDE",
        help="cut frames into squares, for quick reading in training",
    )
    parser.add_argument(
        "--every",
        type=at_least(1),
        default=1,
        metavar="N",
        help="make N videos, each of every N-th frame (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    run_command(lambda: convert(args))


if __name__ == "__main__":
    main()
