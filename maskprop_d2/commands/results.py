"""Convert tracks between the output folder of maskprop run, Parquet and YouTube-VIS json.

SOURCE is the output folder of maskprop run, a results file (.json, .json.gz), a Parquet file or a
folder of them.
"""

import argparse
from pathlib import Path

from ..archive.inputs import is_address
from ..archive.results import AnnotationIds, read_tracks, write_tracks
from ..errors import InputError, run_command
from ..files import check_not_read
from ..ytvis import load_json

EPILOG = """\
examples:
  maskprop results out --output tracks                 one Parquet table of a whole run
  maskprop results out --output results.json --annotations valid.json
  maskprop evaluate valid.json results.json
"""


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Write the tracks. Exits with status 2 on bad input."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", help="what to read")
    parser.add_argument(
        "--output",
        required=True,
        metavar="O",
        help="results file (.json), Parquet file (.parquet), or folder for Parquet files",
    )
    parser.add_argument(
        "--annotations",
        metavar="FILE",
        help="use the ids of this annotation file for videos and categories with the same names, "
        "and drop the tracks of others",
    )
    args = parser.parse_args(argv)
    run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if is_address(args.output):
        raise InputError(f"--output {args.output}: write to this machine, and copy the files")
    output = Path(args.output)
    if output.exists() and output.is_dir() != (not output.suffix):
        raise InputError(f"--output {output} is {'a folder' if output.is_dir() else 'a file'}")
    check_not_read(output, [args.source])
    entries = read_tracks(args.source)
    if args.annotations is None:
        write_tracks(entries, output)
    else:
        ids = AnnotationIds(load_json(args.annotations), args.annotations)
        write_tracks(ids.apply(entries), output)
        for what, count in sorted(ids.dropped.items()):
            print(f"dropped {count} tracks of {what} that are not in {args.annotations}")
    print(f"wrote {output}")
