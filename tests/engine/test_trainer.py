"""Trainings with all that the optimizer's keys offer, as a user runs them."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from small_training import ROOT, TINY, environment, small, small_data_sets

OPTIONS = [
    *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.ACCUMULATE", "2", "SOLVER.EMA_DECAY", "0.5"),
    *("SOLVER.FROZEN", "['backbone.bottom_up', 'roi_heads.mask_head']"),
    *("SOLVER.LR_FACTORS", "[['roi_heads', 0.5]]", "SOLVER.WARMUP_ITERS", "0"),
    *("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model", "SOLVER.AMP.ENABLED", "True"),
]


def train(data_sets, output, max_iter, *options):
    command = [sys.executable, str(ROOT / "train_net.py"), "--config-file", str(TINY), *options]
    result = subprocess.run(
        [*command, *small(output, max_iter, *OPTIONS)],
        env=environment(data_sets),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    return small_data_sets(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="module")
def trained(data_sets, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    train(data_sets, output, 4)
    return output


def weights_of(path):
    """Averaged weights, and those that learn."""
    checkpoint = torch.load(path, weights_only=True)
    return checkpoint["model"], checkpoint["trainer"]["hooks"]["WeightAverage"]["model"]


def results_of(output):
    return json.loads((output / "inference/results.json").read_text())


def test_what_is_frozen_stays_and_what_is_averaged_differs(trained):
    (first, first_raw), (last, last_raw) = (
        weights_of(trained / f"model_{name}.pth") for name in ("0000001", "final")
    )
    for name, value in last.items():
        frozen = name.startswith(("backbone.bottom_up.", "roi_heads.mask_head."))
        known = (first[name], first_raw[name], last_raw[name])
        assert all(torch.equal(value, x) for x in known) or not frozen, name
    name = "propagation.deform_weight"
    assert not any(torch.equal(last[name], x) for x in (first[name], last_raw[name]))


def test_it_goes_on_as_if_it_had_never_stopped(trained, data_sets, tmp_path):
    for name in ("model_0000001.pth", "metrics.json"):
        shutil.copy(trained / name, tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    train(data_sets, tmp_path, 4, "--resume")
    for found, expected in zip(
        weights_of(tmp_path / "model_final.pth"),
        weights_of(trained / "model_final.pth"),
        strict=True,
    ):
        assert all(torch.equal(found[name], x) for name, x in expected.items())
    assert results_of(tmp_path) == results_of(trained)


def test_what_is_evaluated_at_the_end_is_what_the_file_gives(trained, data_sets, tmp_path):
    weights = ["MODEL.WEIGHTS", str(trained / "model_final.pth")]
    command = [sys.executable, str(ROOT / "train_net.py"), "--config-file", str(TINY)]
    subprocess.run(
        [*command, "--eval-only", *small(tmp_path, 1, *weights)],
        env=environment(data_sets),
        capture_output=True,
        check=True,
    )
    assert results_of(tmp_path) == results_of(trained) != []


def test_two_processes_train_so(data_sets, tmp_path):
    train(data_sets, tmp_path, 2, "--num-gpus", "2")
    averaged, raw = weights_of(tmp_path / "model_final.pth")
    assert averaged.keys() == raw.keys()
