"""Failures of a training: one clear message, and the last checkpoint is kept."""

import errno
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess

import pytest
import torch
from small_training import TINY, ended, run_here, small, start, wait_for
from torch import nn

from maskprop_d2.commands.train import main as train
from maskprop_d2.engine.checkpoint import Checkpointer
from maskprop_d2.engine.failures import explain_failures
from maskprop_d2.engine.reproducibility import truncate_metrics
from maskprop_d2.errors import InputError, TrainingError, WeightsFileError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            FloatingPointError("Loss became infinite or NaN!\nloss_dict = {'a': nan}"),
            r"iteration 7: training has diverged .*\{'a': nan\}\)\. Lower SOLVER\.BASE_LR",
        ),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), "Lower SOLVER.IMS_PER_BATCH"),
        (MemoryError(), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "metrics.json"), "the disk is full"),
    ],
)
def test_known_failures_are_explained_in_one_line(error, message):
    with pytest.raises(TrainingError, match=message) as info, explain_failures(7):
        raise error
    assert "\n" not in str(info.value) and "continue from the last one" in str(info.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), KeyError("x"), InputError("a frame"), OSError("gone")]
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as info, explain_failures(1):
        raise error
    assert info.value is error


def checkpointer(folder, value=0.0):
    model = nn.Linear(2, 1)
    nn.init.constant_(model.weight, value)
    return Checkpointer(model, str(folder))


def test_killed_while_saving_keeps_the_previous_checkpoint(tmp_path):
    def save_and_be_killed():
        keep = checkpointer(tmp_path, 1.0)
        keep.save("model_0000001", iteration=1)
        save = torch.save

        def cut(contents, file):
            save(contents, file)
            file.flush()
            os.truncate(file.name, 500)
            os.kill(os.getpid(), signal.SIGKILL)

        torch.save = cut
        keep.save("model_0000003", iteration=3)

    process = multiprocessing.get_context("fork").Process(target=save_and_be_killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    names = sorted(x.name for x in tmp_path.iterdir())
    assert names == ["last_checkpoint", "model_0000001.pth", "model_0000003.pth.partial"]
    other = checkpointer(tmp_path)
    assert other.resume_or_load("", resume=True)["iteration"] == 1
    assert (other.model.weight == 1).all()
    other.save("model_0000003", iteration=3)
    assert not list(tmp_path.glob("*.partial"))


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path):
    keep = checkpointer(tmp_path)
    keep.save("model_0000001", iteration=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(TrainingError, match=r"model_0000003\.pth cannot be written: .*disk"):
            keep.save("model_0000003", iteration=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["last_checkpoint", "model_0000001.pth"]
    assert keep.resume_or_load("", resume=True)["iteration"] == 1


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    keep = checkpointer(tmp_path)
    keep.save("model_0000001")
    nn.init.constant_(keep.model.weight, float("nan"))
    with pytest.raises(TrainingError, match="weight is not finite"):
        keep.save("model_0000003")
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_a_missing_or_damaged_checkpoint_is_reported(tmp_path):
    checkpointer(tmp_path).save("model_0000001")
    path = tmp_path / "model_0000001.pth"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsFileError, match=r"model_0000001\.pth: cannot be loaded"):
        checkpointer(tmp_path).resume_or_load("", resume=True)
    path.unlink()
    with pytest.raises(WeightsFileError, match=r"model_0000001\.pth"):
        checkpointer(tmp_path).resume_or_load("", resume=True)


def test_metrics_are_truncated_where_training_resumes(tmp_path):
    path = tmp_path / "metrics.json"
    lines = [{"iteration": i, "total_loss": 1.0} for i in (19, 39)]
    lines.insert(1, {"iteration": 20, "segm/AP": 3.0})
    text = "".join(f"{json.dumps(x)}\n" for x in lines)
    for content, iteration, kept in (
        (text, 40, 3),
        (text + '{"iteration": 59, "tot', 60, 3),
        (text, 39, 2),
        # The evaluation at the end of a training that is then extended.
        (text, 20, 2),
        (text, 1, 0),
    ):
        path.write_text(content)
        truncate_metrics(path, iteration)
        assert path.read_text().splitlines() == text.splitlines()[:kept]
    truncate_metrics(tmp_path / "gone.json", 3)


def test_a_diverged_training_keeps_finite_checkpoints_and_records_its_seed(data_sets, tmp_path):
    options = small(tmp_path, 20, "DATASETS.TEST", "()", "SOLVER.BASE_LR", "1e30")
    options += ["SOLVER.WARMUP_ITERS", "0", "SOLVER.CHECKPOINT_PERIOD", "1", "SEED", "-1"]
    out, error = run_here(*options, status=2)
    assert "Traceback" not in out + error
    assert error.startswith("error: ") and re.search("diverged|not finite", error)
    for path in tmp_path.glob("*.pth"):
        values = torch.load(path, weights_only=True)["model"].values()
        assert all(x.isfinite().all() for x in values if x.is_floating_point())
    (entry,) = json.loads((tmp_path / "runs.json").read_text())
    assert entry["seed"] >= 0 and f"SEED: {entry['seed']}" in entry["config"]
    assert entry["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert entry["data_sets"]["moving_shapes_train"]["frames"] == 12
    assert len(entry["data_sets"]["moving_shapes_train"]["sha256"]) == 64


def test_if_one_of_two_processes_is_killed_the_other_stops(data_sets, tmp_path, forked):
    log = tmp_path / "log"
    options = ["--num-gpus", "2", *small(tmp_path, 1000, "DATASETS.TEST", "()")]
    process = start(lambda: train(["--config-file", str(TINY), *options]), log)
    wait_for(tmp_path / "model_0000001.pth", process, log)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGKILL)
    process.join(60)
    # Either the killed process is reported, or the broken connection of the other.
    if process.exitcode == 2:
        error = [x for x in log.read_text().splitlines() if x.startswith("error: ")][-1]
        assert "was killed by SIGKILL" in error and "--resume" in error
    else:
        assert process.exitcode == 1 and "RuntimeError" in log.read_text()
    assert ended(process.pid, seconds=20)
