#!/usr/bin/env python3
"""Fuzz the readers with damaged and hostile files: ``tools/fuzz.py --reader all --count 10000``.

A reader may reject a file with a message of one line. It fails if it ends in any other way, or
takes more than a second of CPU time or 1 GiB of memory for a file. ``--keep DIR`` keeps the files
that it fails on.
"""

import argparse
import sys
import time
from pathlib import Path

from fuzzing.limits import find_failures, make_input
from fuzzing.readers import READERS


def main(argv: list[str] | None = None) -> None:
    """Print each failure. Exits with status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reader", choices=["all", *READERS], default="all")
    parser.add_argument("--count", type=int, default=1000, help="number of files for each reader")
    parser.add_argument("--seed", type=int, default=1, help="random seed")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for files that fail")
    args = parser.parse_args(argv)
    total = 0
    for name in READERS if args.reader == "all" else [args.reader]:
        start = time.monotonic()
        failed = 0
        for i, failure in find_failures(name, args.seed, args.count):
            failed += 1
            print(f"{name} {i}: {failure}", flush=True)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                path = args.keep / f"{name}_{args.seed}_{i}{READERS[name].suffix}"
                path.write_bytes(make_input(name, args.seed, i))
        seconds = time.monotonic() - start
        print(f"{name}: {args.count} files, {failed} failures, {seconds:.0f} s", flush=True)
        total += failed
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
