"""Killed and resumed trainings and evaluations give the same results as undisturbed ones."""

import json
import os
import sys

import pytest
import torch
from small_training import ROOT, TINY, WEIGHTS, run, small, small_data_sets


def kill_and_resume(data_sets, output, kills, *options):
    """Run ``tools/kill_and_resume.py``. Returns what it prints."""
    tool = [sys.executable, str(ROOT / "tools/kill_and_resume.py"), "--kills", str(kills)]
    arguments = ["--", "--config-file", str(TINY)]
    environment = {**os.environ, "DETECTRON2_DATASETS": str(data_sets), "OMP_NUM_THREADS": "1"}
    result = run([*tool, *arguments, *options], env=environment)
    report = next(x for x in result.stdout.splitlines() if x.startswith('{"kills"'))
    assert json.loads(report)["kills"] == kills
    return result.stdout


def final_metrics(output):
    lines = (output / "metrics.json").read_text().splitlines()
    figures = json.loads(lines[-1])
    return {k: v for k, v in figures.items() if k.startswith("segm/") and v == v}


@pytest.mark.parametrize(
    ("kills", "iterations"),
    [(2, 20), pytest.param(20, 140, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_training(tmp_path, kills, iterations):
    data_sets = small_data_sets(tmp_path / "datasets")
    outputs = [tmp_path / "undisturbed", tmp_path / "killed"]
    for output, number in zip(outputs, (0, kills), strict=True):
        kill_and_resume(data_sets, output, number, *small(output, iterations))
    models = [torch.load(x / "model_final.pth", weights_only=True)["model"] for x in outputs]
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][k], models[1][k]) for k in models[0])
    assert final_metrics(outputs[0]) == final_metrics(outputs[1]) != {}
    results = [(x / "inference/results.json").read_text() for x in outputs]
    assert results[0] == results[1]
    # The loss curve has each iteration once.
    lines = [json.loads(x) for x in (outputs[1] / "metrics.json").read_text().splitlines()]
    curve = [x["iteration"] for x in lines if "total_loss" in x]
    assert curve == sorted(set(curve)) and curve[-1] == iterations - 1


@pytest.mark.parametrize(
    ("kills", "videos"),
    [(1, 12), pytest.param(10, 80, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_evaluation(tmp_path, kills, videos):
    data_sets = small_data_sets(tmp_path / "datasets", val=videos)
    weights = ["MODEL.WEIGHTS", str(WEIGHTS)]
    outputs = [tmp_path / "undisturbed", tmp_path / "killed"]
    for output, number in zip(outputs, (0, kills), strict=True):
        options = ["--eval-only", *small(output, 1, *weights)]
        printed = kill_and_resume(data_sets, output, number, *options)
    assert "Resuming an interrupted evaluation" in printed
    results = [(x / "inference/results.json").read_text() for x in outputs]
    assert results[0] == results[1] != "[]"
    assert not list((outputs[1] / "inference").glob("unfinished*"))
