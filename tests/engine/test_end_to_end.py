"""Training and evaluation as a user runs them, on a few tiny videos."""

import json
import re
import time
import zipfile

import pytest
from small_training import TINY, ended, run_here, small, start, wait_for
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from maskprop_d2.commands.train import main as train


@pytest.fixture(scope="module")
def trained(data_sets, tmp_path_factory):
    """The output of a training of four iterations with a final evaluation, and what it printed."""
    output = tmp_path_factory.mktemp("trained")
    printed, _ = run_here(*small(output, 4))
    return output, printed


def load_results(output):
    return json.loads((output / "inference/results.json").read_text())


def weights(trained):
    return ["MODEL.WEIGHTS", str(trained[0] / "model_final.pth")]


def test_training_writes_checkpoints_metrics_and_results(trained):
    output, printed = trained
    assert "No GPU is available: running on the CPU." in printed
    names = {path.name for path in output.iterdir()}
    assert {"model_0000001.pth", "model_final.pth", "metrics.json", "config.yaml"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    metrics = {}
    for line in (output / "metrics.json").read_text().splitlines():
        metrics.update(json.loads(line))
    assert metrics["loss_propagation"] > 0
    assert 0 <= metrics["segm/AP"] <= 100
    results = load_results(output)
    assert results and len(results[0]["segmentations"]) == 4
    assert {x["video_id"] for x in results} <= {1, 2}
    assert all(1 <= x["category_id"] <= 10 for x in results)
    with zipfile.ZipFile(output / "inference/results.zip") as archive:
        assert archive.namelist() == ["results.json"]
        assert json.loads(archive.read("results.json")) == results
    assert "AP by category" in printed


def test_evaluation_alone_gives_the_same_results(trained, tmp_path):
    run_here("--eval-only", *small(tmp_path, 4, *weights(trained)))
    assert load_results(tmp_path) == load_results(trained[0])


def test_missing_weights_of_a_tracking_method_are_explained(trained, tmp_path):
    options = [*weights(trained), "MODEL.MASKPROP.TRACKER", "masktrack"]
    _, error = run_here("--eval-only", *small(tmp_path / "out", 4, *options), status=2)
    assert "model_final.pth has no weights for the tracking method 'masktrack'" in error
    assert "maskprop_tiny_masktrack.yaml" in error and "Traceback" not in error
    assert not (tmp_path / "out/inference").exists()


def test_two_processes_give_the_same_results_as_one(trained, tmp_path, forked):
    run_here("--num-gpus", "2", "--eval-only", *small(tmp_path, 4, *weights(trained)))
    assert load_results(tmp_path) == load_results(trained[0])


def test_errors_of_two_processes(data_sets, tmp_path, capfd):
    """In new processes, as for a user."""
    options = small(tmp_path, 4, "DATASETS.TRAIN", "('moving_shapes_hard_train',)")
    run_here("--num-gpus", "2", *options, status=2)
    error = capfd.readouterr().err
    assert "error: " in error and "Traceback" not in error


def test_torchrun_gives_the_same_results(trained, tmp_path):
    launcher = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method="fork",
        monitor_interval=0.1,
    )
    options = ["--eval-only", *small(tmp_path, 4, *weights(trained))]
    elastic_launch(launcher, train)(["--config-file", str(TINY), *options])
    assert load_results(tmp_path) == load_results(trained[0])


def test_a_data_set_without_annotations_gives_a_submission(trained, data_sets, tmp_path):
    data = json.loads((data_sets / "moving_shapes/valid.json").read_text())
    del data["annotations"]
    json_file = tmp_path / "hidden.json"
    json_file.write_text(json.dumps(data))
    entry = ["hidden_val", str(json_file), str(data_sets / "moving_shapes/valid/JPEGImages")]
    options = ["DATASETS.REGISTER", str([entry]), "DATASETS.TEST", "('hidden_val',)"]
    printed, _ = run_here("--eval-only", *small(tmp_path / "out", 4, *weights(trained), *options))
    assert "has no annotations" in printed
    assert (tmp_path / "out/inference/results.zip").exists()


def test_a_killed_training_stops_all_processes_and_can_be_resumed(data_sets, tmp_path, forked):
    two = ["--config-file", str(TINY), "--num-gpus", "2"]
    log = tmp_path / "log"
    options = small(tmp_path, 1000, "DATASETS.TEST", "()")
    process = start(lambda: train([*two, *options]), log, ignore_sigint=True)
    wait_for(tmp_path / "model_0000001.pth", process, log)
    time.sleep(0.2)
    process.kill()
    process.join()
    assert ended(process.pid, seconds=60), "a process trains on without the main process"
    last = int(re.search(r"\d+", (tmp_path / "last_checkpoint").read_text())[0])
    options = small(tmp_path, last + 2, "DATASETS.TEST", "()")
    run_here(*two[2:], "--resume", *options)
    assert f"Starting training from iteration {last + 1}" in (tmp_path / "log.txt").read_text()
    assert (tmp_path / "model_final.pth").exists()
