#!/usr/bin/env python3
"""Measure speed, memory or costs: ``tools/benchmark.py propagation --json OUT``.

Each file of ``NAMES`` in ``tools/benchmarks`` is a subcommand. Its docstring is the description,
``add_arguments(parser)`` adds the options, and ``run(args)`` returns the rows of the report.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

import torch

NAMES = ("costs", "drawing", "evaluation", "link", "linker", "page", "propagation", "video")


def main() -> None:
    """Run a benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name in NAMES:
        command = commands.add_parser(name)
        # Import only the selected benchmark.
        if name in sys.argv[1:2]:
            module = importlib.import_module(f"benchmarks.{name}")
            command.description = module.__doc__
            module.add_arguments(command)
            command.add_argument("--json", type=Path, help="write the rows to this file")
            command.set_defaults(run=module.run)
    args = parser.parse_args()
    facts = machine()
    print(facts)
    report = {**facts, "rows": args.run(args)}
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=2))


def machine() -> dict[str, object]:
    """The hardware and the version of PyTorch."""
    facts: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.is_file():
        names = [x for x in cpu_info.read_text().splitlines() if x.startswith("model name")]
        if names:
            facts["machine"] = names[0].partition(":")[2].strip()
    if torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


if __name__ == "__main__":
    main()
