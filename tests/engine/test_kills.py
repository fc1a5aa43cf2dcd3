"""Killed and resumed trainings and evaluations give the same results as undisturbed ones."""

import json
import sys

import kill_and_resume
import pytest
import torch
from small_training import TINY, WEIGHTS, run_here, small, small_data_sets, start


@pytest.fixture
def run_and_kill(tmp_path, data_sets, monkeypatch):
    """Runs ``tools/kill_and_resume.py`` in a fork of this process. Returns what it prints."""

    def run(kills, *options):
        arguments = ["--kills", str(kills), "--within", "0.1", "--", "--config-file", str(TINY)]
        monkeypatch.setattr(sys, "argv", ["kill_and_resume.py", *arguments, *options])
        log = tmp_path / "log"
        process = start(kill_and_resume.main, log)
        process.join()
        printed = log.read_text()
        assert process.exitcode == 0, printed[-3000:]
        report = next(x for x in printed.splitlines() if x.startswith('{"kills"'))
        assert json.loads(report)["kills"] == kills
        return printed

    return run


def final_metrics(output):
    lines = (output / "metrics.json").read_text().splitlines()
    figures = json.loads(lines[-1])
    return {k: v for k, v in figures.items() if k.startswith("segm/") and v == v}


@pytest.mark.parametrize(
    ("kills", "iterations"),
    [(1, 6), pytest.param(20, 140, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_training(tmp_path, run_and_kill, kills, iterations):
    outputs = [tmp_path / "undisturbed", tmp_path / "killed"]
    run_here(*small(outputs[0], iterations))
    run_and_kill(kills, *small(outputs[1], iterations))
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
    [(1, 6), pytest.param(10, 80, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_evaluation(tmp_path, run_and_kill, kills, videos):
    name = f"killed_{videos}_val"
    folder = small_data_sets(tmp_path / "datasets", train=1, val=videos) / "moving_shapes"
    entry = [name, str(folder / "valid.json"), str(folder / "valid/JPEGImages")]
    data = ["DATASETS.REGISTER", str([entry]), "DATASETS.TEST", f"('{name}',)"]
    weights = ["MODEL.WEIGHTS", str(WEIGHTS)]
    outputs = [tmp_path / "undisturbed", tmp_path / "killed"]
    run_here("--eval-only", *small(outputs[0], 1, *data, *weights))
    printed = run_and_kill(kills, "--eval-only", *small(outputs[1], 1, *data, *weights))
    assert "Resuming an interrupted evaluation" in printed
    results = [(x / "inference/results.json").read_text() for x in outputs]
    assert results[0] == results[1] != "[]"
    assert not list((outputs[1] / "inference").glob("unfinished*"))
