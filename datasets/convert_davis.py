#!/usr/bin/env python3
"""From folders of frames and of id masks, as DAVIS has them, to YouTube-VIS's format.

    python datasets/convert_davis.py --output datasets/davis/train.json \\
        --frames DAVIS/JPEGImages/480p --masks DAVIS/Annotations/480p

reads <frames>/<video>/<frame>.jpg and <masks>/<video>/<frame>.png. A mask is a palette or grey
PNG: 0 is background, 255 is void (of no object), any other value is an object, the same one in all
frames of its video. Frames without a mask are left out.
"""

import argparse
from pathlib import Path
from typing import Any

from id_masks import convert_videos, read_binary_mask, read_id_masks

from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.ytvis import load_json
from maskprop_d2.ytvis.writing import write_annotations

BACKGROUND, VOID = 0, 255


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=Path, required=True, help="folder of folders of images")
    parser.add_argument("--masks", type=Path, required=True, help="folder of folders of PNGs")
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    parser.add_argument(
        "--binary", action="store_true", help="masks show one object: all that is not black"
    )
    parser.add_argument(
        "--categories",
        metavar="JSON",
        help='the objects\' categories, as in davis_semantics.json: {"VIDEO": {"ID": "NAME"}}; '
        "without it there is one, 'object'",
    )
    parser.add_argument(
        "--videos",
        nargs="+",
        metavar="NAME",
        help="the videos to take, as in: $(cat DAVIS/ImageSets/2017/train.txt); without it all",
    )
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError: if files are missing, or do not fit each other.
    """
    categories = _read_categories(args.categories) if args.categories else None
    # Of the whole file, so that sets of different videos have the same ids.
    names = sorted({x for video in (categories or {}).values() for x in video.values()})
    names = names or ["object"]

    def category_of(video: str, value: int) -> int | None:
        if value == BACKGROUND or (value == VOID and not args.binary):
            return None
        if categories is None:
            return 1
        name = categories.get(video, {}).get(str(value))
        if name is None:
            raise AnnotationError(f"{args.categories} has no category of object {value} of {video}")
        return names.index(name) + 1

    videos, tracks = convert_videos(
        args.frames,
        args.masks,
        category_of,
        args.videos,
        read_binary_mask if args.binary else read_id_masks,
    )
    if not tracks:
        raise AnnotationError(
            f"{args.masks}: no mask has an object. If the object is white (255) give --binary"
        )
    print(write_annotations(args.output, videos, names, tracks))


def _read_categories(path: str) -> dict[str, dict[str, str]]:
    data: Any = load_json(path)
    if isinstance(data, dict) and all(
        isinstance(ids, dict) and all(isinstance(name, str) for name in ids.values())
        for ids in data.values()
    ):
        return data
    raise AnnotationError(f'{path}: must be like {{"VIDEO": {{"1": "NAME", "2": "NAME"}}}}')


def main(argv: list[str] | None = None) -> None:
    """The command."""
    run_command(lambda: convert(parse_args(argv)))


if __name__ == "__main__":
    main()
