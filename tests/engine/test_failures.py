"""What may happen to a training: it ends with one clear message, and nothing is lost."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from small_training import ROOT, TINY, ended, environment, small, small_data_sets
from torch import nn

from maskprop_d2.engine.checkpoint import Checkpointer
from maskprop_d2.engine.failures import explain, explained
from maskprop_d2.engine.reproducibility import drop_from
from maskprop_d2.engine.resume_eval import FinishedVideos
from maskprop_d2.errors import InputError, TrainingError, WeightsFileError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            FloatingPointError(
                "Loss became infinite or NaN at iteration=7!\nloss_dict = {'a': nan}"
            ),
            r"iteration 7: the loss is not finite: \{'a': nan\}\. Lower SOLVER\.BASE_LR",
        ),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), "Lower SOLVER.IMS_PER_BATCH"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), "out of memory"),
        (MemoryError(), "out of memory"),
        (
            RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. "),
            "data was killed by signal: Killed. If memory is short, lower DATALOADER.NUM_WORKERS",
        ),
        (RuntimeError("DataLoader worker (pid(s) 5, 6) exited unexpectedly"), "data exited unexp"),
        (OSError(errno.ENOSPC, "No space left on device", "metrics.json"), "the disk is full"),
        (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"), "another process"),
    ],
)
def test_faults_are_explained_in_one_line(error, message):
    with pytest.raises(TrainingError, match=message) as info, explained(7):
        raise error
    assert "\n" not in str(info.value) and "continue from the last one" in str(info.value)


def test_other_errors_stay_what_they_are():
    for error in (RuntimeError("shapes differ"), KeyError("x"), InputError("a frame")):
        with pytest.raises(type(error)), explained(1):
            raise error
    assert explain(InputError("out of memory")) is None


def checkpointer(folder, value=0.0):
    model = nn.Linear(2, 1)
    nn.init.constant_(model.weight, value)
    return Checkpointer(model, str(folder))


KILLED_WHILE_SAVING = """
import os, signal, sys, torch
sys.path = {path!r}
from test_failures import checkpointer
keep = checkpointer({folder!r}, 1.0)
keep.save("model_0000001", iteration=1)
save = torch.save
def cut(contents, file):
    save(contents, file)
    os.truncate(file, 500)
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = cut
keep.save("model_0000003", iteration=3)
"""


def test_killed_while_saving_the_checkpoint_before_stays(tmp_path):
    code = KILLED_WHILE_SAVING.format(path=sys.path, folder=str(tmp_path))
    result = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path))
    assert result.returncode == -signal.SIGKILL
    names = sorted(x.name for x in tmp_path.iterdir())
    assert names == ["last_checkpoint", "model_0000001.pth", "model_0000003.pth.partial"]
    other = checkpointer(tmp_path)
    assert other.resume_or_load("", resume=True)["iteration"] == 1
    assert (other.model.weight == 1).all()
    other.save("model_0000003", iteration=3)
    assert not list(tmp_path.glob("*.partial"))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    keep = checkpointer(tmp_path)
    keep.save("model_0000001", iteration=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(TrainingError, match=r"model_0000003\.pth cannot be written: .*disk"):
            keep.save("model_0000003", iteration=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["last_checkpoint", "model_0000001.pth"]
    assert keep.resume_or_load("", resume=True)["iteration"] == 1


def test_weights_that_are_not_finite_follow_no_good_checkpoint(tmp_path):
    keep = checkpointer(tmp_path)
    keep.save("model_0000001")
    nn.init.constant_(keep.model.weight, float("nan"))
    with pytest.raises(TrainingError, match="weight is not finite any more"):
        keep.save("model_0000003")
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_a_checkpoint_that_is_gone_or_damaged_is_named(tmp_path):
    keep = checkpointer(tmp_path)
    keep.save("model_0000001")
    whole = (tmp_path / "model_0000001.pth").read_bytes()
    (tmp_path / "model_0000001.pth").write_bytes(whole[:-100])
    for _ in range(2):
        with pytest.raises(WeightsFileError, match=r"model_0000001\.pth: cannot be loaded"):
            keep.resume_or_load("", resume=True)
    (tmp_path / "model_0000001.pth").unlink()
    with pytest.raises(WeightsFileError, match=r"model_0000001\.pth"):
        keep.resume_or_load("", resume=True)


def test_the_loss_curve_is_cut_where_training_goes_on(tmp_path):
    path = tmp_path / "metrics.json"
    lines = [{"iteration": i, "total_loss": 1.0} for i in (19, 39)]
    lines.insert(1, {"iteration": 20, "segm/AP": 3.0})
    text = "".join(f"{json.dumps(x)}\n" for x in lines)
    for content, iteration, kept in (
        (text, 40, 3),
        (text + '{"iteration": 59, "tot', 60, 3),
        (text, 39, 2),
        # An evaluation at the end of a training that goes on with more iterations.
        (text, 20, 2),
        (text, 1, 0),
    ):
        path.write_text(content)
        drop_from(path, iteration)
        assert path.read_text().splitlines() == text.splitlines()[:kept]
    drop_from(tmp_path / "gone.json", 3)


def test_results_of_a_stopped_evaluation_are_found_by_the_same_one_alone(tmp_path):
    stopped = FinishedVideos(tmp_path, "model a")
    stopped.find()
    stopped.add(3, [{"score": 0.1}])
    stopped.add(5, [])
    file = tmp_path / "unfinished_0.jsonl"
    whole = file.read_bytes()
    # Of another process, whose file falls to this one now; and a line that was cut off.
    (tmp_path / "unfinished_1.jsonl").write_bytes(whole.replace(b'"video_id": 3', b'"video_id": 4'))
    file.write_bytes(whole + b'{"video_id": 6, "res')
    again = FinishedVideos(tmp_path, "model a")
    again.find()
    assert again.video_ids == {3, 4, 5} and again.results == [{"score": 0.1}] * 2
    again.add(6, [{"score": 0.2}])
    assert file.read_bytes().startswith(whole) and len(file.read_text().splitlines()) == 4
    other = FinishedVideos(tmp_path, "model b")
    other.find()
    assert other.video_ids == set() and other.results == []
    other.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    return small_data_sets(tmp_path_factory.mktemp("datasets"))


def train(data_sets, *options, prepare=None):
    """The printed lines of a training that ends with status 2, the last being the error."""
    result = subprocess.run(
        [sys.executable, str(ROOT / "train_net.py"), "--config-file", str(TINY), *options],
        env=environment(data_sets),
        capture_output=True,
        text=True,
        preexec_fn=prepare,
    )
    assert result.returncode == 2, result.stdout[-3000:] + result.stderr[-3000:]
    assert "Traceback" not in result.stdout + result.stderr
    return result.stdout, result.stderr.strip().splitlines()[-1]


def test_a_diverged_training_keeps_its_last_checkpoint(data_sets, tmp_path):
    options = small(tmp_path, 20, "DATASETS.TEST", "()", "SOLVER.BASE_LR", "1e30")
    options += ["SOLVER.WARMUP_ITERS", "0", "SOLVER.CHECKPOINT_PERIOD", "1", "SEED", "-1"]
    _, error = train(data_sets, *options)
    assert "not finite" in error and error.startswith("error: ")
    for path in tmp_path.glob("*.pth"):
        values = torch.load(path, weights_only=True)["model"].values()
        assert all(x.isfinite().all() for x in values if x.is_floating_point())
    # The seed that was drawn is told, and so is what it ran with.
    (run,) = json.loads((tmp_path / "runs.json").read_text())
    assert run["seed"] >= 0 and f"SEED: {run['seed']}" in run["config"]
    assert run["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert run["data_sets"]["moving_shapes_train"]["frames"] == 12
    assert len(run["data_sets"]["moving_shapes_train"]["sha256"]) == 64


def test_damaged_and_hostile_weights_are_refused_in_one_line(data_sets, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save({"model": {"a": nn.Linear(1, 1)}}, weights)
    _, error = train(data_sets, *small(tmp_path / "out", 2, "MODEL.WEIGHTS", str(weights)))
    assert "weights.pth: cannot be loaded as weights: it refers to torch.nn" in error


def test_one_of_two_processes_is_killed(data_sets, tmp_path):
    """The other ends with it, and training goes on with ``--resume``."""
    options = ["--num-gpus", "2", *small(tmp_path, 1000, "DATASETS.TEST", "()")]
    command = [sys.executable, str(ROOT / "train_net.py"), "--config-file", str(TINY), *options]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment(data_sets), stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 200
        while not (tmp_path / "model_0000001.pth").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True
        ).stdout.split()
        assert len(children) == 2
        os.kill(int(children[1]), signal.SIGKILL)
        assert process.wait(60) == 2
    log = (tmp_path / "log").read_text()
    error = [x for x in log.splitlines() if x.startswith("error: ")][-1]
    assert "was ended by SIGKILL" in error or "another process of this training" in error
    assert "--resume" in error and "Traceback" not in log
    assert ended(process.pid, seconds=20)
    last = int((tmp_path / "last_checkpoint").read_text()[len("model_") : -len(".pth")])
    options = ["--resume", *small(tmp_path, last + 2, "DATASETS.TEST", "()")]
    result = subprocess.run(
        [*command[:4], "--num-gpus", "2", *options], env=environment(data_sets), capture_output=True
    )
    assert result.returncode == 0 and (tmp_path / "model_final.pth").exists()


def test_a_dead_reader_of_data_is_told(data_sets, tmp_path):
    """As the kernel ends one when memory is short."""
    options = small(tmp_path, 1000, "DATASETS.TEST", "()", "DATALOADER.NUM_WORKERS", "1")
    command = [sys.executable, str(ROOT / "train_net.py"), "--config-file", str(TINY), *options]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment(data_sets), stdout=log, stderr=log)
        deadline = time.monotonic() + 200
        while not (tmp_path / "model_0000001.pth").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        (worker,) = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
        ).stdout.split()
        os.kill(int(worker), signal.SIGKILL)
        assert process.wait(60) == 2
    log = (tmp_path / "log").read_text()
    # Which of the two torch sees first is chance.
    ends = ("was killed by signal: Killed", "exited unexpectedly")
    assert any(f"a process that reads the data {end}" in log.splitlines()[-1] for end in ends)
    assert "Traceback" not in log
