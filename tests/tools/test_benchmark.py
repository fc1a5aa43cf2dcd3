"""The benchmarks run and write what they measured."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import benchmark
import pytest

BENCHMARK = Path(__file__).parents[2] / "tools" / "benchmark.py"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a benchmark in this process, which saves the time of imports. Returns its report."""

    def run_here(*arguments):
        output = tmp_path / "out.json"
        command = [str(BENCHMARK), *map(str, arguments), "--json", str(output)]
        monkeypatch.setattr(sys, "argv", command)
        benchmark.main()
        return json.loads(output.read_text())

    return run_here


def test_evaluation(tmp_path):
    """As a script."""
    command = [sys.executable, BENCHMARK, "evaluation", "--json", tmp_path / "out.json"]
    small = "--videos 1 2 --predictions 3 5 --frames 3 --height 30 --width 40 --repeats 1"
    subprocess.run([*command, *small.split()], check=True, capture_output=True)
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [(x["videos"], x["predictions"]) for x in rows] == [(1, 3), (2, 5)]
    assert all(x["seconds"] > 0 and x["peak_mb"] > 10 for x in rows)


def test_linker(run):
    small = "--lengths 8 --instances 3 --clip-radius 2"
    rows = run("linker", *small.split())["rows"]
    assert [(x["tracker"], x["tracks"]) for x in rows] == [("maskprop", 3), ("iou", 3)]
    assert all(x["ms_per_frame"] > 0 for x in rows)


def test_propagation_in_mixed_precision(run):
    small = "--sizes 6x8 --instances 2 --hidden 2 --repeats 1 --literal-repeats 1"
    precision = ["--precision", "bfloat16", "--device", "cpu"]
    report = run("propagation", *small.split(), *precision)
    assert 1e-4 < report["rows"][0]["max_abs_diff"] < 1
    assert report["machine"] and report["cores"] and report["torch"]


@pytest.mark.parametrize("masks", [[], ["--dense"]])
def test_propagation(run, masks):
    small = "--sizes 6x8 --instances 1 3 --hidden 0 2 --repeats 1 --literal-repeats 1"
    rows = run("propagation", *small.split(), *masks)["rows"]
    assert [(x["instances"], x["hidden"]) for x in rows] == [(1, 0), (1, 2), (3, 0), (3, 2)]
    assert all(x["max_abs_diff"] < 1e-4 for x in rows)
    assert all((x["covered"] == 1) == bool(masks) for x in rows)
    assert all(x["speedup"] == x["literal_s"] / x["fused_s"] for x in rows)


def test_drawing(run):
    small = "--height 90 --width 160 --frames 4 --instances 3"
    rows = {x["what"]: x for x in run("drawing", *small.split())["rows"]}
    assert rows.keys() >= {"decode", "draw", "draw_with_trails", "encode", "decode_draw_encode"}
    assert all(x["ms_per_frame"] > 0 and x["frames_per_second"] > 0 for x in rows.values())


@pytest.mark.skipif(not find_spec("detectron2"), reason="it needs Detectron2")
def test_video(run):
    small = "--height 48 --width 64 --frames 4 --instances 3 --repeats 1 --config-file"
    config = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"
    rows = run("video", *small.split(), config)["rows"]
    assert [x["what"] for x in rows] == ["predictor", "detector_pass", "whole"]
    stages = ("detect_ms", "propagate_ms", "link_ms", "finish_ms")
    assert all(rows[2][stage] > 0 for stage in stages)
    assert sum(rows[2][stage] for stage in stages) <= rows[2]["ms_per_frame"]


def test_link(run):
    small = "--height 48 --width 96 --lengths 4 6 --instances 2"
    *rows, flow = run("link", *small.split())["rows"]
    assert [(x["method"], x["frames"]) for x in rows] == [
        *[("maskprop", 4), ("maskprop", 6)],
        *[("flow", 4), ("flow", 6)],
    ]
    assert all(x["tracks"] == 2 and x["peak_mb"] > 10 for x in rows)
    assert flow["ms_per_frame"] > 0


def test_page(run):
    small = "--videos 3 --predictions 2 --frames 3 --height 30 --width 40 --opened 1"
    (row,) = run("page", *small.split())["rows"]
    assert row["videos"] == 3 and 0 < row["open_s"] < 60
    assert 10 < row["used_page_mb"] < row["used_browser_mb"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_page_of_2000_videos_opens_quickly(tmp_path):
    command = [sys.executable, BENCHMARK, "page", "--json", tmp_path / "out.json"]
    subprocess.run(command, check=True, capture_output=True)
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert row["open_s"] < 2 and row["used_page_mb"] < 500
