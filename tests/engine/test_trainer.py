"""Trainings with all options of the optimizer, and resuming them."""

import json
import shutil

import pytest
import torch
from small_training import run_here, small

OPTIONS = [
    *("SOLVER.IMS_PER_BATCH", "4", "SOLVER.ACCUMULATE", "2", "SOLVER.EMA_DECAY", "0.5"),
    *("SOLVER.FROZEN", "['backbone.bottom_up', 'roi_heads.mask_head']"),
    *("SOLVER.LR_FACTORS", "[['roi_heads', 0.5]]", "SOLVER.WARMUP_ITERS", "0"),
    *("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model", "SOLVER.AMP.ENABLED", "True"),
]


@pytest.fixture(scope="module")
def trained(data_sets, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    run_here(*small(output, 4, *OPTIONS))
    return output


def load(path):
    """Averaged weights, and the weights in training."""
    checkpoint = torch.load(path, weights_only=True)
    return checkpoint["model"], checkpoint["trainer"]["hooks"]["WeightAverage"]["model"]


def load_results(output):
    return json.loads((output / "inference/results.json").read_text())


def test_frozen_weights_do_not_change_and_averaged_ones_differ(trained):
    (first, first_raw), (last, last_raw) = (
        load(trained / f"model_{name}.pth") for name in ("0000001", "final")
    )
    for name, value in last.items():
        if name.startswith(("backbone.bottom_up.", "roi_heads.mask_head.")):
            others = (first[name], first_raw[name], last_raw[name])
            assert all(torch.equal(value, x) for x in others), name
    name = "propagation.deform_weight"
    assert not any(torch.equal(last[name], x) for x in (first[name], last_raw[name]))


def test_a_resumed_training_gives_the_same_weights_and_results(trained, tmp_path):
    for name in ("model_0000001.pth", "metrics.json"):
        shutil.copy(trained / name, tmp_path)
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    run_here("--resume", *small(tmp_path, 4, *OPTIONS))
    resumed, expected = (load(x / "model_final.pth") for x in (tmp_path, trained))
    for a, b in zip(resumed, expected, strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert load_results(tmp_path) == load_results(trained)


def test_the_final_evaluation_uses_the_saved_weights(trained, tmp_path):
    weights = ["MODEL.WEIGHTS", str(trained / "model_final.pth")]
    run_here("--eval-only", *small(tmp_path, 1, *weights))
    assert load_results(tmp_path) == load_results(trained) != []


def test_two_processes(data_sets, tmp_path, forked):
    options = [*OPTIONS, "DATASETS.TEST", "()"]
    run_here("--num-gpus", "2", *small(tmp_path, 2, *options))
    averaged, raw = load(tmp_path / "model_final.pth")
    assert averaged.keys() == raw.keys()
