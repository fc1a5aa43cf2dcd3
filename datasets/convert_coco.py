#!/usr/bin/env python3
"""Convert COCO instance annotations of images to YouTube-VIS format, each image to a video of one
frame.

    python datasets/convert_coco.py --output datasets/coco_videos/train.json \\
        --json annotations/instances_train2017.json

The ids of images, annotations and categories are kept, and so are crowds. The image folder
(train2017) is used as it is.
"""

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.ops.rle import to_rle
from maskprop_d2.ytvis import check_ground_truth, load_json
from maskprop_d2.ytvis.writing import track_fields, write_json_files


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError: if the file is not in COCO format.
    """
    data = load_json(args.json)
    lists = [data.get(x) if isinstance(data, dict) else None for x in ("images", "annotations")]
    if not all(isinstance(x, list) and all(isinstance(y, dict) for y in x) for x in lists):
        raise AnnotationError(f"{args.json}: must have lists of 'images' and 'annotations'")
    images, annotations = lists
    videos = [
        {
            "id": image.get("id"),
            "height": image.get("height"),
            "width": image.get("width"),
            "length": 1,
            "file_names": [image.get("file_name")],
        }
        for image in images
    ]
    converted = {"info": {}, "videos": videos, "categories": data.get("categories")}
    check_ground_truth(converted, args.json)
    sizes = {video["id"]: (video["height"], video["width"]) for video in videos}
    converted["annotations"] = []
    skipped = []
    for annotation in tqdm(annotations, unit="annotation", disable=None):
        try:
            converted["annotations"].append(_to_track(annotation, sizes))
        except ValueError as error:
            skipped.append(f"annotation {annotation.get('id')}: {error}")
    check_ground_truth(converted, args.json)
    write_json_files({args.output: converted})
    print(f"wrote {args.output}: {len(videos)} images, {len(converted['annotations'])} objects")
    if skipped:
        print(f"skipped {len(skipped)} objects without a usable mask, for example {skipped[0]}")


def _to_track(annotation: dict[str, Any], sizes: dict[int, tuple[int, int]]) -> dict[str, Any]:
    """An annotation as a track of one frame.

    Raises:
        ValueError: if its mask cannot be used.
    """
    image_id = annotation.get("image_id")
    if type(image_id) is not int or image_id not in sizes:
        raise ValueError(f"there is no image {image_id!r}")
    fields = track_fields([to_rle(annotation.get("segmentation"), *sizes[image_id])])
    if not fields["areas"][0]:
        raise ValueError("its mask has no pixel")
    return {
        "id": annotation.get("id"),
        "video_id": image_id,
        "category_id": annotation.get("category_id"),
        "iscrowd": annotation.get("iscrowd", 0),
        **fields,
    }


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", required=True, help="COCO's instances_*.json")
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    args = parser.parse_args(argv)
    run_command(lambda: convert(args))


if __name__ == "__main__":
    main()
