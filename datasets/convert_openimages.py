#!/usr/bin/env python3
"""Convert Open Images instance masks to YouTube-VIS format, each image to a video of one frame.

    python datasets/convert_openimages.py --output datasets/openimages/train.json \\
        --csv train-annotations-object-segmentation.csv --classes class-descriptions-boxable.csv \\
        --masks train-masks --images train --like coco/annotations/instances_val2017.json

The images are --images/<ImageID>.jpg. Masks are PNGs of any size, black outside the object, in
--masks or in folders in it, one for each zip archive. Objects without an image or mask file are
skipped, so that a part of the files is enough. The image folder is used as it is.

With --like, only the categories of that file are converted, matched by name without case. To
convert "Man" and "Woman" as "person", write so in the second column of a copy of --classes.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from id_masks import read_binary_mask
from tqdm import tqdm

from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.ops.rle import encode
from maskprop_d2.video.images import image_size
from maskprop_d2.ytvis import check_ground_truth, load_json
from maskprop_d2.ytvis.writing import track_fields, write_annotations

COLUMNS = ("MaskPath", "ImageID", "LabelName")
# Images and masks are resized from the same original, each rounded to whole pixels.
ASPECT_TOLERANCE = 0.02


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError: if files are missing or in another format, or no object can be used.
    """
    for folder in (args.masks, args.images):
        if not folder.is_dir():
            raise AnnotationError(f"{folder}: there is no such folder")
    names = _read_class_names(args.classes)
    categories = _read_categories(args.like) if args.like else list(dict.fromkeys(names.values()))
    category_ids = {name.casefold(): i for i, name in enumerate(categories, start=1)}
    mask_folders = [args.masks, *sorted(x for x in args.masks.iterdir() if x.is_dir())]
    videos: list[dict[str, Any]] = []
    tracks = []
    skipped = defaultdict(list)
    for image_id, objects in tqdm(_read_objects(args.csv).items(), unit="image", disable=None):
        image = args.images / f"{image_id}.jpg"
        size = image_size(image) if image.is_file() else None
        found = []
        for mask_name, label in objects:
            if label not in names:
                raise AnnotationError(f"{args.classes} does not have {label} of {args.csv}")
            category_id = category_ids.get(names[label].casefold())
            try:
                mask = _read_mask(mask_name, category_id, size, mask_folders)
            except _UnusableError as error:
                skipped[str(error)].append(mask_name)
                continue
            track = {"video_id": len(videos) + 1, "category_id": category_id}
            found.append({**track, **track_fields([encode(mask)])})
        if found:
            height, width = size
            videos.append({"height": height, "width": width, "file_names": [image.name]})
            tracks += found
    for reason, masks in skipped.items():
        print(f"skipped {len(masks)} objects because {reason}, for example {masks[0]}")
    if not tracks:
        raise AnnotationError(f"{args.csv}: no object has an image, a mask and a category")
    print(write_annotations(args.output, videos, categories, tracks))


class _UnusableError(Exception):
    """Why an object cannot be used."""


def _read_mask(
    name: str, category_id: int | None, size: tuple[int, int] | None, folders: list[Path]
) -> np.ndarray:
    """The (H, W) mask of an object, resized to its image's size.

    Raises:
        _UnusableError: if it cannot be used.
    """
    if category_id is None:
        raise _UnusableError("their category is not in --like")
    if size is None:
        raise _UnusableError("their image is missing")
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise _UnusableError("their mask is missing")
    mask = read_binary_mask(path)
    height, width = size
    if abs(mask.shape[0] * width / (mask.shape[1] * height) - 1) > ASPECT_TOLERANCE:
        raise _UnusableError("their mask has another aspect ratio than the image")
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    if not mask.any():
        raise _UnusableError("their mask has no pixel")
    return mask


def _read_objects(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The mask file and label of each object, by image id."""
    rows = _read_rows(path)
    header = next(rows, [])
    if not set(COLUMNS) <= set(header):
        raise AnnotationError(f"{path}: must have the columns {', '.join(COLUMNS)}")
    objects = defaultdict(list)
    for i, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise AnnotationError(f"{path}: object {i} has {len(row)} values, not {len(header)}")
        mask, image, label = (row[header.index(column)] for column in COLUMNS)
        objects[image].append((mask, label))
    return objects


def _read_class_names(path: Path) -> dict[str, str]:
    """Names by label (MID)."""
    rows = list(_read_rows(path))
    if not rows or any(len(row) != 2 for row in rows):
        raise AnnotationError(f"{path}: each row must be a label and a name, like /m/0bt9lr,Dog")
    # Since version 6 there is a header.
    return {label: name for label, name in rows if label != "LabelName"}


def _read_categories(path: str) -> list[str]:
    """The category names of a json file, in the order of their ids."""
    data = load_json(path)
    categories = data.get("categories") if isinstance(data, dict) else None
    check_ground_truth({"videos": [], "categories": categories}, path)
    return [x["name"] for x in sorted(categories, key=lambda x: x["id"])]


def _read_rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from (row for row in csv.reader(file) if row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path} is not a csv file: {error}") from error


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True, help="*-object-segmentation.csv")
    parser.add_argument("--classes", type=Path, required=True, help="class-descriptions*.csv")
    parser.add_argument("--masks", type=Path, required=True, help="folder of masks")
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    parser.add_argument(
        "--like",
        metavar="JSON",
        help="a file in COCO or YouTube-VIS format with the categories to convert (default: all "
        "of --classes)",
    )
    args = parser.parse_args(argv)
    run_command(lambda: convert(args))


if __name__ == "__main__":
    main()
