#!/usr/bin/env python3
"""Average the tables of several comparisons, over datasets or seeds.

    python tools/summarize_tables.py A/table.json B/table.json C/table.json

The tables are written by ``compare_trackers.py``. The result has mean ± standard deviation;
``--plot`` draws the mean curve of a sweep with a band of one standard deviation.
"""

import argparse
from pathlib import Path

from comparing.sweeps import plot
from comparing.tables import mean_table, read_tables

from maskprop_d2.errors import run_command


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE.json", help="two or more")
    parser.add_argument("--plot", type=Path, metavar="P.png", help="draw the curve of a sweep")
    args = parser.parse_args(argv)
    if len(args.tables) < 2:
        parser.error("a standard deviation needs two or more tables")
    return args


def summarize(args: argparse.Namespace) -> None:
    """Print the mean table, and draw the curve for ``--plot``."""
    tables = read_tables(args.tables)
    print(mean_table(tables))
    if args.plot:
        plot(tables, f"Mean ± standard deviation of {len(tables)} runs", args.plot)


def main(argv: list[str] | None = None) -> None:
    """Run the command; exit with status 2 for input that cannot be used."""
    args = parse_args(argv)
    run_command(lambda: summarize(args))


if __name__ == "__main__":
    main()
