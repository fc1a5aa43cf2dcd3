#!/usr/bin/env python3
"""Measures the alternatives side by side: ``tools/benchmark.py propagation --json OUT``.

Each file in ``tools/benchmarks`` is a subcommand: its docstring says what it measures,
``add_arguments(parser)`` adds its options, and ``run(args)`` returns the rows of its table.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarking import machine

NAMES = sorted(x.stem for x in (Path(__file__).parent / "benchmarks").glob("*.py"))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name in NAMES:
        command = commands.add_parser(name)
        # Only what is asked for is loaded.
        if name in sys.argv[1:2]:
            module = importlib.import_module(f"benchmarks.{name}")
            command.description = module.__doc__
            module.add_arguments(command)
            command.add_argument("--json", type=Path, help="where to write the rows")
            command.set_defaults(run=module.run)
    args = parser.parse_args()
    facts = machine()
    print(facts)
    report = {**facts, "rows": args.run(args)}
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
