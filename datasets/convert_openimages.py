#!/usr/bin/env python3
"""From Open Images' instance masks to YouTube-VIS's format: each image is a video of one frame.

    python datasets/convert_openimages.py --output datasets/openimages/train.json \\
        --csv train-annotations-object-segmentation.csv --classes class-descriptions-boxable.csv \\
        --masks train-masks --images train --like coco/annotations/instances_val2017.json

Images lie in --images as <ImageID>.jpg. Masks, PNGs of any size that is not black where the object
is, lie in --masks or in folders in it, one for each zip. A part of either is enough: objects whose
image or mask is not there are left out. The folder of images stays as it is.

With --like, objects of that file's categories alone are taken, by name whatever the case. To take
"Man" and "Woman" as "person", write so in the second column of a copy of --classes.
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
# Images and masks are reduced from the same original, each rounded to whole pixels.
ASPECT_TOLERANCE = 0.02


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, required=True, help="*-object-segmentation.csv")
    parser.add_argument("--classes", type=Path, required=True, help="class-descriptions*.csv")
    parser.add_argument("--masks", type=Path, required=True, help="folder of PNGs, or of such")
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    parser.add_argument(
        "--like",
        metavar="JSON",
        help="a file in COCO's or YouTube-VIS's format whose categories to take; without it, all "
        "those of --classes",
    )
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError: if files are missing or not in that format, or no object is left.
    """
    for folder in (args.masks, args.images):
        if not folder.is_dir():
            raise AnnotationError(f"{folder}: there is no such folder")
    names = _class_names(args.classes)
    categories = _categories_of(args.like) if args.like else list(dict.fromkeys(names.values()))
    category_ids = {name.casefold(): i for i, name in enumerate(categories, start=1)}
    mask_folders = [args.masks, *sorted(x for x in args.masks.iterdir() if x.is_dir())]
    videos: list[dict[str, Any]] = []
    tracks = []
    # Why, and which.
    left_out = defaultdict(list)
    for image_id, objects in tqdm(_objects_of(args.csv).items(), unit="image", disable=None):
        image = args.images / f"{image_id}.jpg"
        size = image_size(image) if image.is_file() else None
        found = []
        for mask_name, label in objects:
            try:
                if label not in names:
                    raise AnnotationError(f"{args.classes} does not have {label} of {args.csv}")
                category_id = category_ids.get(names[label].casefold())
                mask = _mask_of(mask_name, category_id, size, mask_folders)
            except _LeftOut as error:
                left_out[str(error)].append(mask_name)
                continue
            track = {"video_id": len(videos) + 1, "category_id": category_id}
            found.append({**track, **track_fields([encode(mask)])})
        if found:
            height, width = size
            videos.append({"height": height, "width": width, "file_names": [image.name]})
            tracks += found
    for why, masks in left_out.items():
        print(f"{len(masks)} objects are left out, since {why}: {masks[0]} ...")
    if not tracks:
        raise AnnotationError(f"{args.csv}: no object has an image, a mask and a category")
    print(write_annotations(args.output, videos, categories, tracks))


class _LeftOut(ValueError):
    """Why an object is left out."""


def _mask_of(
    name: str, category_id: int | None, size: tuple[int, int] | None, folders: list[Path]
) -> np.ndarray:
    """The (H, W) mask of an object at its image's size, whatever the file's is.

    Raises:
        _LeftOut: if it cannot be used.
    """
    if category_id is None:
        raise _LeftOut("their category is not one of --like")
    if size is None:
        raise _LeftOut("their image is not there")
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise _LeftOut("their mask is not there")
    mask = read_binary_mask(path)
    height, width = size
    if abs(mask.shape[0] * width / (mask.shape[1] * height) - 1) > ASPECT_TOLERANCE:
        raise _LeftOut("their mask has another shape than the image")
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    if not mask.any():
        raise _LeftOut("their mask has no pixel")
    return mask


def _objects_of(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The names of masks, and their labels, by image."""
    rows = _rows(path)
    header = next(rows, [])
    if not set(COLUMNS) <= set(header):
        raise AnnotationError(f"{path}: must have the columns {', '.join(COLUMNS)}")
    places = [header.index(column) for column in COLUMNS]
    objects = defaultdict(list)
    for i, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise AnnotationError(f"{path}: object {i} has {len(row)} values, not {len(header)}")
        mask, image, label = (row[place] for place in places)
        objects[image].append((mask, label))
    return objects


def _class_names(path: Path) -> dict[str, str]:
    """Names by label (MID)."""
    rows = list(_rows(path))
    if not rows or any(len(row) != 2 for row in rows):
        raise AnnotationError(f"{path}: each row must be a label and a name, such as /m/0bt9lr,Dog")
    # Since version 6 there is a header.
    return {label: name for label, name in rows if label != "LabelName"}


def _categories_of(path: str) -> list[str]:
    """A json file's category names, in the order of their ids."""
    data = load_json(path)
    categories = data.get("categories") if isinstance(data, dict) else None
    check_ground_truth({"videos": [], "categories": categories}, path)
    return [x["name"] for x in sorted(categories, key=lambda x: x["id"])]


def _rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from (row for row in csv.reader(file) if row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path} is not a csv file: {error}") from error


def main(argv: list[str] | None = None) -> None:
    """The command."""
    run_command(lambda: convert(parse_args(argv)))


if __name__ == "__main__":
    main()
