"""What a training reports: metrics, pictures, a summary, and no warnings."""

import gc
import json
import os
import signal
from types import SimpleNamespace

import pytest
import torch
from detectron2.engine import HookBase
from detectron2.utils.events import EventStorage
from small_training import TINY, command, run, small, start, wait_for
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from maskprop_d2.commands.train import main as train
from maskprop_d2.engine import Trainer, monitoring
from maskprop_d2.engine.failures import message_in_one_line
from maskprop_d2.engine.monitoring import TrainingMetrics, write_summary
from maskprop_d2.errors import VideoError
from maskprop_d2.inference.mask_store import MaskStore
from maskprop_d2.modeling.propagation_monitor import PICTURE


@pytest.fixture(scope="module")
def finished(data_sets, tmp_path_factory):
    """The output folder of a finished training, and what it printed."""
    folder = tmp_path_factory.mktemp("training")
    options = small(folder, 4, "VIS_PERIOD", "2", "DATALOADER.NUM_WORKERS", "1")
    with pytest.MonkeyPatch.context() as patch:
        # As where CUDA is installed without a GPU.
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setenv("CUDA_HOME", str(folder))
        return folder, run(command(*options))


def test_a_training_only_warns_that_it_runs_on_the_cpu(finished):
    folder, result = finished
    assert result.stderr == ""
    for text in (result.stdout, (folder / "log.txt").read_text()):
        lines = [x for x in text.splitlines() if "WARN" in x or "ERROR" in x or "Warning" in x]
        assert all("No GPU is available: running on the CPU" in x for x in lines) and len(lines) < 2
    assert "No GPU is available" in result.stdout


def test_metrics(finished):
    folder, _ = finished
    metrics = {}
    for line in (folder / "metrics.json").read_text().splitlines():
        metrics.update(json.loads(line))
    assert {"total_loss", "loss_cls", "loss_mask", "loss_propagation", "segm/AP"} <= set(metrics)
    assert 0 < metrics["data_share"] < 1 and metrics["data_time"] < metrics["time"]
    assert 50 < metrics["peak_memory_mb"] < 50000
    assert metrics["skipped_samples"] == 0
    distances = {x for x in metrics if x.startswith("propagation_iou/")}
    assert "propagation_iou/0" in distances and len(distances) > 1
    # Partners are at most three frames away.
    assert distances <= {f"propagation_iou/{x}" for x in ("0", "1", "2", "3-4")}
    assert all(0 <= metrics[x] <= 1 for x in distances)


def test_tensorboard_has_pictures_of_propagated_masks(finished):
    folder, _ = finished
    (path,) = folder.glob("events.out.tfevents.*")
    events = EventAccumulator(str(path))
    events.Reload()
    assert events.Tags()["images"] == [PICTURE]
    assert [x.step for x in events.Images(PICTURE)] == [0, 2]
    assert "propagation_iou/0" in events.Tags()["scalars"]


def test_the_summary(finished):
    folder, result = finished
    summary = (folder / "summary.md").read_text()
    for line in (
        "- end: finished",
        "- iterations: 0 to 4 of 4",
        "- peak memory: ",
        "- losses (medians of the last 20): total_loss ",
        "- propagation IoU by distance in frames: 0: ",
        "- segm/AP: ",
        f"- weights: {folder}/model_final.pth",
    ):
        assert line in summary
    assert summary.partition("\n\n")[2].strip() in result.stdout


def test_an_interrupted_training_has_a_summary(data_sets, tmp_path):
    log = tmp_path / "log"
    options = small(tmp_path, 1000, "DATASETS.TEST", "()", "DATALOADER.NUM_WORKERS", "1")
    process = start(lambda: train(["--config-file", str(TINY), *options]), log)
    wait_for(tmp_path / "model_0000001.pth", process, log)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    printed = log.read_text()
    last_line = printed.splitlines()[-1]
    assert last_line.startswith("Interrupted. ") and "--resume" in last_line
    assert "Traceback" not in printed
    assert "- end: interrupted\n- iterations: 0 to " in (tmp_path / "summary.md").read_text()


def trainer(folder, storage, **attributes):
    """The attributes of a trainer that hooks and the summary use."""
    return SimpleNamespace(
        storage=storage,
        start_iter=0,
        iter=19,
        max_iter=100,
        cfg=SimpleNamespace(OUTPUT_DIR=str(folder)),
        checkpointer=SimpleNamespace(has_checkpoint=lambda: False),
        **attributes,
    )


def test_metrics_are_gathered_from_all_processes(tmp_path, monkeypatch):
    other = (300.0, 2, {"0": (0.5, 1.0), "still": (0.0, 0.0)})
    monkeypatch.setattr(monitoring.comm, "gather", lambda own: [own, other])
    monkeypatch.setattr(monitoring, "peak_memory", lambda device: 200.0)
    stream = SimpleNamespace(mapper=SimpleNamespace(skipped=SimpleNamespace(value=1)))
    monkeypatch.setattr(monitoring, "get_stream", lambda loader: stream)
    monitor = SimpleNamespace(pop_metrics=lambda: {"0": (2.5, 3.0), "1": (0.25, 1.0)})
    model = SimpleNamespace(propagation_monitor=monitor, device=torch.device("cpu"))
    with EventStorage(19) as storage:
        hook = TrainingMetrics()
        hook.trainer = trainer(tmp_path, storage, model=model, data_loader=None)
        storage.put_scalars(time=2.0, data_time=0.5)
        hook.after_step()
        hook.trainer.iter = storage.iter = 20
        hook.after_step()
    assert {name: value for name, (value, _) in storage.latest().items()} == {
        "time": 2.0,
        "data_time": 0.5,
        "data_share": 0.25,
        "peak_memory_mb": 300.0,
        "skipped_samples": 3.0,
        "propagation_iou/0": 0.75,
        "propagation_iou/1": 0.25,
    }
    assert {i for _, i in storage.latest().values()} == {19}


def test_the_summary_of_a_failed_training(tmp_path):
    with EventStorage() as storage:
        storage.put_scalars(time=2.0, data_time=1.0, data_share=0.5, skipped_samples=3)
        for distance in ("17-32", "2", "9-16"):
            storage.put_scalar(f"propagation_iou/{distance}", 0.5)
        with pytest.raises(ValueError):
            try:
                raise ValueError("the loss\nis not finite")
            finally:
                write_summary(trainer(tmp_path, storage), 1.0)
    summary = (tmp_path / "summary.md").read_text()
    assert "- end: the loss is not finite\n- iterations: 0 to 19 of 100\n" in summary
    assert "2.000 s, of which 1.000 s waiting for data and 1.000 s computing" in summary
    assert "raise DATALOADER.NUM_WORKERS" in summary
    assert "2: 0.500, 9-16: 0.500, 17-32: 0.500\n" in summary
    assert "could not be read: 3\n" in summary


def test_an_error_of_a_data_worker_is_told_without_its_traceback():
    def read(item):
        raise VideoError(f"frame {item} is missing")

    with pytest.raises(VideoError) as info:
        list(DataLoader([7], num_workers=1, collate_fn=lambda items: read(items[0])))
    assert "Traceback" in str(info.value)
    assert message_in_one_line(info.value) == "frame 7 is missing"
    assert message_in_one_line(ValueError()) == "ValueError"


def test_the_summary_of_a_training_with_a_failed_evaluation(tmp_path):
    class Evaluation(HookBase):
        def after_train(self):
            raise ValueError("a frame is missing")

    training = Trainer.__new__(Trainer)
    with EventStorage() as storage:
        vars(training).update(vars(trainer(tmp_path, storage)), _hooks=[Evaluation()])
        training.before_train()
        with pytest.raises(ValueError):
            training.after_train()
    assert "- end: a frame is missing\n" in (tmp_path / "summary.md").read_text()


def test_a_summary_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "summary.md").mkdir()
    with EventStorage() as storage:
        write_summary(trainer(tmp_path, storage), 1.0)
    assert [x.name for x in tmp_path.iterdir()] == ["summary.md"]


def test_a_mask_store_closes_its_file():
    store = MaskStore()
    file = store._counts
    del store
    gc.collect()
    assert file.closed
