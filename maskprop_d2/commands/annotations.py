"""Convert tracks to and from annotation tools, so that they can be corrected there.

SOURCE is, with --to, a results file of maskprop track or an annotation file in YouTube-VIS format;
with --from, what the tool has written. docs/annotation_tools.md goes from a video to training.
"""

import argparse
from pathlib import Path

from ..annotation_tools import TOOLS, Tool, WriteOptions, read_ytvis
from ..errors import InputError, run_command
from ..files import check_not_read

EPILOG = """\
tools:
{tools}

examples:
  maskprop annotations my_video_tracks.json --to cvat --tolerance 1 --output my_video.xml
  maskprop annotations annotations.xml --from cvat --frames frames/ --output train.json
"""


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Convert. Exits with status 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=EPILOG.format(tools="\n".join(f"  {k:<14}{x.text}" for k, x in TOOLS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="what to read")
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--to", choices=TOOLS, metavar="TOOL", help="write what the tool opens")
    direction.add_argument(
        "--from", choices=TOOLS, metavar="TOOL", dest="from_", help="read what the tool has written"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="O",
        help="with --to, the tool's file, or a new or empty folder; with --from, an annotation "
        "file (.json)",
    )
    parser.add_argument(
        "--frames",
        type=Path,
        metavar="DIR",
        help="folder with a folder of images for each video; for a single video, it may hold the "
        "images themselves",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="with --to: the annotation file with the videos and categories of a results file",
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=0,
        metavar="X",
        help="with --to: leave out predicted tracks scored below this",
    )
    parser.add_argument(
        "--masks",
        action="store_true",
        help="with --to: write masks instead of polygons, to be edited with a brush",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0,
        metavar="P",
        help="with --to: polygons with fewer points, which are off by at most P pixels (default: "
        "0, exact)",
    )
    args = parser.parse_args(argv)
    if not 0 <= args.tolerance < 1000:
        parser.error(f"--tolerance must be a number of pixels, not {args.tolerance}")
    run_command(lambda: _write(args) if args.to else _read(args))


def _write(args: argparse.Namespace) -> None:
    """Write what a tool opens."""
    tool = TOOLS[args.to]
    _check_output(args.output, tool)
    check_not_read(args.output, [args.source, args.annotations or args.source])
    annotations = read_ytvis(args.source, args.annotations, args.frames, args.score_threshold)
    tool.write(annotations, args.output, WriteOptions(args.masks, args.tolerance, args.frames))
    for text, count in annotations.notes.items():
        print(f"{count} {text}")
    tracks = sum(len(video.tracks) for video in annotations.videos)
    print(f"wrote {args.output}: {len(annotations.videos)} videos, {tracks} tracks")


def _read(args: argparse.Namespace) -> None:
    """Write an annotation file."""
    if args.output.suffix != ".json" or args.output.is_dir():
        raise InputError(f"--output {args.output} must be a .json file")
    if not args.source.exists():
        raise InputError(f"{args.source}: there is no such file or folder")
    check_not_read(args.output, [args.source])
    annotations = TOOLS[args.from_].read(args.source, args.frames)
    line = annotations.write_ytvis(args.output)
    for text, count in annotations.notes.items():
        print(f"{count} {text}")
    print(line)


def _check_output(output: Path, tool: Tool) -> None:
    """Check that an output is a file or a new folder, as the tool needs it."""
    if tool.is_file and (output.suffix != ".json" or output.is_dir()):
        raise InputError(f"--output {output} must be a .json file")
    is_folder = not (tool.is_file or (tool.is_file is None and output.suffix == ".xml"))
    if is_folder and (output.is_file() or (output.is_dir() and any(output.iterdir()))):
        raise InputError(f"--output {output} exists: name a new folder")
