#!/usr/bin/env python3
"""Mean and standard deviation over comparisons: of several data sets or of several seeds.

    python tools/summarize_tables.py A/table.json B/table.json C/table.json

The tables are those that ``compare_trackers.py`` writes. Of sweeps it also draws the mean curve,
with the deviation as a band around it.
"""

import argparse
from pathlib import Path

from comparing.sweeps import plot
from comparing.tables import mean_table, read_tables

from maskprop_d2.errors import run_command


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE.json", help="two or more")
    parser.add_argument("--plot", type=Path, metavar="P.png", help="the curve of a sweep")
    args = parser.parse_args(argv)
    if len(args.tables) < 2:
        parser.error("one table has no deviation: name two or more")
    return args


def summarize(args: argparse.Namespace) -> None:
    """Print, and draw if asked to."""
    tables = read_tables(args.tables)
    print(mean_table(tables))
    if args.plot:
        plot(tables, f"Mean ± standard deviation of {len(tables)} runs", args.plot)


def main(argv: list[str] | None = None) -> None:
    """The command: one clear line and exit status 2 for input that cannot be used."""
    args = parse_args(argv)
    run_command(lambda: summarize(args))


if __name__ == "__main__":
    main()
