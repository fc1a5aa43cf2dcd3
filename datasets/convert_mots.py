#!/usr/bin/env python3
"""Convert MOTS-style PNGs (KITTI MOTS, MOTSChallenge) to YouTube-VIS format.

    python datasets/convert_mots.py --output datasets/kitti_mots/train.json \\
        --frames training/image_02 --masks instances

reads <frames>/<video>/<frame>.png and <masks>/<video>/<frame>.png. Masks are 16-bit PNGs: 0 is
background, 10000 is ignored (no object), any other value is 1000 * class + object id. Frames
without a mask are skipped.
"""

import argparse
from pathlib import Path

from id_masks import convert_videos

from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.ytvis.writing import write_annotations

BACKGROUND, IGNORE = 0, 10_000


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError: if files are missing or do not match.
    """

    def get_category(_: str, value: int) -> int | None:
        if value in (BACKGROUND, IGNORE):
            return None
        if not 1 <= value // 1000 <= len(args.categories):
            raise AnnotationError(
                f"pixel value {value} means class {value // 1000}, but the classes are 1 to "
                f"{len(args.categories)} ({', '.join(args.categories)}): see --categories"
            )
        return value // 1000

    videos, tracks = convert_videos(args.frames, args.masks, get_category, args.videos)
    print(write_annotations(args.output, videos, args.categories, tracks))


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=Path, required=True, help="folder of folders of images")
    parser.add_argument("--masks", type=Path, required=True, help="folder of folders of PNGs")
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    parser.add_argument(
        "--categories",
        nargs="+",
        metavar="NAME",
        default=["car", "pedestrian"],
        help="names of the classes 1, 2, ... (default: %(default)s)",
    )
    parser.add_argument("--videos", nargs="+", metavar="NAME", help="convert only these videos")
    args = parser.parse_args(argv)
    run_command(lambda: convert(args))


if __name__ == "__main__":
    main()
