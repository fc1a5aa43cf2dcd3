"""A killed and resumed run over an archive writes the same as an undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("videos", "kills"),
    [
        pytest.param(20, 2, id="small"),
        pytest.param(1000, 10, id="large", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_killed_runs_end_with_the_same_files(videos, kills):
    tool = [sys.executable, str(ROOT / "tools/kill_archive_run.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = ["--videos", str(videos), "--kills", str(kills), "--within", "0.1"]
    result = subprocess.run(
        [*tool, *options], capture_output=True, text=True, check=True, env=environment
    )
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["equal"] and report["kills"] == kills and report["of_workers"] >= 1
    assert report["files"] >= videos * 3
