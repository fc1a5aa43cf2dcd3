"""The benchmarks run and write what they measured."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "tools" / "benchmark.py"


def test_evaluation(tmp_path):
    command = [sys.executable, BENCHMARK, "evaluation", "--json", tmp_path / "out.json"]
    small = "--videos 1 2 --predictions 3 5 --frames 3 --height 30 --width 40 --repeats 1"
    subprocess.run([*command, *small.split()], check=True, capture_output=True)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [(x["videos"], x["predictions"]) for x in rows] == [(1, 3), (2, 5)]
    assert all(x["seconds"] > 0 and x["peak_mb"] > 10 for x in rows)
