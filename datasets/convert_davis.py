#!/usr/bin/env python3
"""Convert folders of frames and id masks in DAVIS layout to YouTube-VIS format.

    python datasets/convert_davis.py --output datasets/davis/train.json \\
        --frames DAVIS/JPEGImages/480p --masks DAVIS/Annotations/480p

reads <frames>/<video>/<frame>.jpg and <masks>/<video>/<frame>.png. Masks are palette or grayscale
PNGs: 0 is background, 255 is void (no object), any other value is the id of an object in its video.
Frames without a mask are skipped.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from id_masks import convert_videos, read_binary_mask

from maskprop_d2.errors import AnnotationError, VideoError, run_command
from maskprop_d2.video.id_masks import read_id_mask
from maskprop_d2.ytvis import load_json
from maskprop_d2.ytvis.writing import write_annotations

BACKGROUND, VOID = 0, 255


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError: if files are missing or do not match.
    """
    categories = _read_categories(args.categories) if args.categories else None
    # From the whole file, so that the ids do not depend on --videos.
    names = sorted({x for video in (categories or {}).values() for x in video.values()})
    names = names or ["object"]

    def get_category(video: str, value: int) -> int | None:
        if value == BACKGROUND or (value == VOID and not args.binary):
            return None
        if categories is None:
            return 1
        name = categories.get(video, {}).get(str(value))
        if name is None:
            raise AnnotationError(f"{args.categories}: no category for object {value} of {video}")
        return names.index(name) + 1

    videos, tracks = convert_videos(
        args.frames,
        args.masks,
        get_category,
        args.videos,
        read_binary_mask if args.binary else _read_ids,
    )
    if not tracks:
        raise AnnotationError(
            f"{args.masks}: no mask has an object. If objects are white (255), use --binary"
        )
    print(write_annotations(args.output, videos, names, tracks))


def _read_ids(path: Path) -> np.ndarray:
    try:
        return read_id_mask(path)
    except VideoError as error:
        raise AnnotationError(f"{error} (if objects are white on black: --binary)") from error


def _read_categories(path: str) -> dict[str, dict[str, str]]:
    data: Any = load_json(path)
    if isinstance(data, dict) and all(
        isinstance(ids, dict) and all(isinstance(name, str) for name in ids.values())
        for ids in data.values()
    ):
        return data
    raise AnnotationError(f'{path}: must have the form {{"VIDEO": {{"1": "NAME", "2": "NAME"}}}}')


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=Path, required=True, help="folder of folders of images")
    parser.add_argument("--masks", type=Path, required=True, help="folder of folders of PNGs")
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    parser.add_argument(
        "--binary", action="store_true", help="masks show one object: all pixels that are not black"
    )
    parser.add_argument(
        "--categories",
        metavar="JSON",
        help="categories of the objects, as in davis_semantics.json: "
        '{"VIDEO": {"ID": "NAME"}} (default: one category, "object")',
    )
    parser.add_argument(
        "--videos",
        nargs="+",
        metavar="NAME",
        help="convert only these, for example $(cat DAVIS/ImageSets/2017/train.txt)",
    )
    args = parser.parse_args(argv)
    run_command(lambda: convert(args))


if __name__ == "__main__":
    main()
