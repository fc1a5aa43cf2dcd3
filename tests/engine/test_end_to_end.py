"""Training, evaluation and the demo, as a user runs them, on a handful of tiny videos."""

import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from convert_davis import main as convert_davis
from small_training import ROOT, TINY, ended, environment, small, small_data_sets
from split_ytvis import main as split_ytvis

from demo import main as demo
from maskprop_d2.commands.validate import main as validate
from maskprop_d2.ops.rle import decode
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    """A folder for DETECTRON2_DATASETS with three training videos and two for validation."""
    return small_data_sets(tmp_path_factory.mktemp("datasets"))


def command(script, *options, config_file=TINY):
    return [sys.executable, str(ROOT / script), "--config-file", str(config_file), *options]


def run(data_sets, script, *options, status=0, **more):
    result = subprocess.run(
        command(script, *options, **more),
        env=environment(data_sets),
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stdout[-3000:] + result.stderr[-3000:]
    return result


@pytest.fixture(scope="module")
def trained(data_sets, tmp_path_factory):
    """A training of four iterations, evaluated at its end."""
    output = tmp_path_factory.mktemp("trained")
    result = run(data_sets, "train_net.py", *small(output, 4))
    return output, result.stdout


def test_training_leaves_checkpoints_metrics_and_results(trained):
    output, printed = trained
    assert "No GPU can be used: running on the CPU." in printed
    names = {path.name for path in output.iterdir()}
    assert {"model_0000001.pth", "model_final.pth", "metrics.json", "config.yaml"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    metrics = {}
    for line in (output / "metrics.json").read_text().splitlines():
        metrics.update(json.loads(line))
    assert metrics["loss_propagation"] > 0
    assert 0 <= metrics["segm/AP"] <= 100
    results = json.loads((output / "inference/results.json").read_text())
    assert results and len(results[0]["segmentations"]) == 4
    assert {x["video_id"] for x in results} <= {1, 2}
    assert all(1 <= x["category_id"] <= 10 for x in results)
    with zipfile.ZipFile(output / "inference/results.zip") as archive:
        assert archive.namelist() == ["results.json"]
        assert json.loads(archive.read("results.json")) == results
    assert "AP by category" in printed


def test_evaluation_alone_gives_the_same_results(trained, data_sets, tmp_path):
    output, _ = trained
    weights = ["MODEL.WEIGHTS", str(output / "model_final.pth")]
    run(data_sets, "train_net.py", "--eval-only", *small(tmp_path, 4, *weights))
    again = json.loads((tmp_path / "inference/results.json").read_text())
    assert again == json.loads((output / "inference/results.json").read_text())


def test_evaluation_by_a_method_without_its_weights_says_how_to_get_them(
    trained, data_sets, tmp_path
):
    options = ["MODEL.WEIGHTS", str(trained[0] / "model_final.pth")]
    options += ["MODEL.MASKPROP.TRACKER", "masktrack"]
    options = small(tmp_path / "out", 4, *options)
    result = run(data_sets, "train_net.py", "--eval-only", *options, status=2)
    assert "model_final.pth has no weights for the tracking method 'masktrack'" in result.stderr
    assert "maskprop_tiny_masktrack.yaml" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out/inference").exists()


def test_two_processes_train_and_give_the_same_results_as_one(trained, data_sets, tmp_path):
    output, _ = trained
    two = ["--num-gpus", "2"]
    run(data_sets, "train_net.py", *two, *small(tmp_path / "train", 2, "DATASETS.TEST", "()"))
    assert (tmp_path / "train/model_final.pth").exists()
    weights = ["MODEL.WEIGHTS", str(output / "model_final.pth")]
    run(data_sets, "train_net.py", *two, "--eval-only", *small(tmp_path, 4, *weights))
    results = json.loads((tmp_path / "inference/results.json").read_text())
    assert results == json.loads((output / "inference/results.json").read_text())
    gone = small(tmp_path, 4, "DATASETS.TRAIN", "('moving_shapes_hard_train',)")
    result = run(data_sets, "train_net.py", *two, *gone, status=2)
    assert "error: " in result.stderr and "Traceback" not in result.stderr


def test_under_torchrun_the_results_are_those_of_one_process(trained, data_sets, tmp_path):
    output, _ = trained
    weights = ["MODEL.WEIGHTS", str(output / "model_final.pth")]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    python, *arguments = command("train_net.py", "--eval-only", *small(tmp_path, 4, *weights))
    result = subprocess.run(
        [python, *launcher, *arguments],
        env=environment(data_sets),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    results = json.loads((tmp_path / "inference/results.json").read_text())
    assert results == json.loads((output / "inference/results.json").read_text())


def test_evaluation_of_a_set_without_annotations_writes_the_submission(
    trained, data_sets, tmp_path
):
    output, _ = trained
    hidden = tmp_path / "datasets/moving_shapes"
    hidden.mkdir(parents=True)
    data = json.loads((data_sets / "moving_shapes/valid.json").read_text())
    del data["annotations"]
    (hidden / "valid.json").write_text(json.dumps(data))
    (hidden / "valid").symlink_to(data_sets / "moving_shapes/valid")
    weights = ["MODEL.WEIGHTS", str(output / "model_final.pth")]
    options = small(tmp_path / "out", 4, *weights)
    result = run(hidden.parent, "train_net.py", "--eval-only", *options)
    assert "has no annotations" in result.stdout
    assert (tmp_path / "out/inference/results.zip").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_training_goes_on_from_its_last_checkpoint(data_sets, tmp_path, processes):
    many = ["--num-gpus", str(processes)]
    options = small(tmp_path, 1000, "DATASETS.TEST", "()")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command("train_net.py", *many, *options),
            env=environment(data_sets),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # As in the background of a shell script.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        deadline = time.monotonic() + 120
        while not (tmp_path / "model_0000003.pth").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert ended(process.pid, seconds=60), "a process trains on without the one that began it"
    last = int((tmp_path / "last_checkpoint").read_text()[len("model_") : -len(".pth")])
    options = small(tmp_path, last + 3, "DATASETS.TEST", "()")
    result = run(data_sets, "train_net.py", *many, "--resume", *options)
    assert f"Starting training from iteration {last + 1}" in result.stdout
    assert (tmp_path / "model_final.pth").exists()


def test_the_demo_on_a_video_and_on_frames(trained, data_sets, tmp_path):
    output, _ = trained
    frames = data_sets / "moving_shapes/valid/JPEGImages/valid_00000"
    with VideoWriter(tmp_path / "clip.mp4", 12.5) as writer:
        for frame in VideoFile(frames / "%05d.jpg"):
            writer.write(frame)
    options = ["--opts", *small(tmp_path, 4), "MODEL.WEIGHTS", str(output / "model_final.pth")]
    video = ["--video-input", str(tmp_path / "clip.mp4")]
    video += ["--output", str(tmp_path / "out/annotated.mp4")]
    result = run(data_sets, "demo/demo.py", *video, "--confidence-threshold", "0.01", *options)
    annotated = VideoFile(tmp_path / "out/annotated.mp4")
    assert annotated.fps == VideoFile(tmp_path / "clip.mp4").fps
    assert len(list(annotated)) == 4
    tracks = json.loads((tmp_path / "out/results.json").read_text())
    assert tracks and len(tracks[0]["segmentations"]) == 4
    assert "frames/s" in result.stdout

    folder = ["--input", str(frames), "--output", str(tmp_path / "folder")]
    run(data_sets, "demo/demo.py", *folder, "--confidence-threshold", "1.0", *options)
    assert len(list((tmp_path / "folder").glob("*.jpg"))) == 4
    # Nothing has a score above 1.
    assert json.loads((tmp_path / "folder/results.json").read_text()) == []


def test_the_demo_on_a_part_with_trails_and_id_masks(trained, data_sets, tmp_path):
    frames = data_sets / "moving_shapes/valid/JPEGImages/valid_00000"
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for frame in [*VideoFile(frames / "%05d.jpg")] * 5:
            writer.write(frame)
    options = ["--video-input", str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "o.mp4")]
    options += ["--start", "0.5", "--duration", "1", "--stride", "3"]
    options += ["--trails", "--id-masks", str(tmp_path / "ids"), "--opts", *small(tmp_path, 4)]
    options += ["MODEL.WEIGHTS", str(trained[0] / "model_final.pth")]
    result = run(data_sets, "demo/demo.py", *options)
    assert "4/4" in result.stderr and "is_fx_tracing" not in result.stderr + result.stdout
    assert VideoFile(tmp_path / "o.mp4").fps == Fraction(10, 3)
    check_demo_output(tmp_path, 4)
    ids = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "ids").iterdir()]
    assert any(x.any() for x in ids)


def check_demo_output(folder, num_frames):
    """``o.mp4``, ``results.json`` and ``ids`` are of so many frames."""
    assert len(list(VideoFile(folder / "o.mp4"))) == num_frames
    tracks = json.loads((folder / "results.json").read_text())
    assert tracks and {len(x["segmentations"]) for x in tracks} == {num_frames}
    names = sorted(path.name for path in (folder / "ids").iterdir())
    assert names == [f"{i:05d}.png" for i in range(num_frames)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_what_is_done(trained, data_sets, tmp_path, number):
    shapes = list(VideoFile(data_sets / "moving_shapes/valid/JPEGImages/valid_00000/%05d.jpg"))
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for _ in range(2000):
            writer.write(shapes[0])
    # An address of a camera may be any that OpenCV opens.
    source = "--video-input" if number == signal.SIGINT else "--webcam"
    options = [source, str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "out/o.mp4")]
    options += ["--trails", "--id-masks", str(tmp_path / "out/ids"), "--opts", *small(tmp_path, 4)]
    options += ["MODEL.WEIGHTS", str(trained[0] / "model_final.pth")]
    process = subprocess.Popen(
        command("demo/demo.py", *options),
        env={k: v for k, v in environment(data_sets).items() if k != "DISPLAY"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As in the background of a shell script.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    deadline = time.monotonic() + 200
    while not (tmp_path / "out/ids/00002.png").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    out, error = process.communicate()
    # A camera has no other end.
    assert process.returncode == (128 + number if source == "--video-input" else 0)
    assert "Interrupted: the finished frames are kept." in error and "Traceback" not in error
    done = int(re.search(r"^(\d+) frames in ", out, re.MULTILINE)[1])
    assert 3 <= done < 2000
    check_demo_output(tmp_path / "out", done)
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["ids", "o.mp4", "results.json"]


def write_id_masks(data_set, folder):
    """A MovingShapes split as folders of frames and of id masks; returns its categories."""
    data = json.loads((data_set / "train.json").read_text())
    (folder / "frames").symlink_to(data_set / "train/JPEGImages")
    names = {x["id"]: x["name"] for x in data["categories"]}
    categories = {}
    for video in data["videos"]:
        tracks = [x for x in data["annotations"] if x["video_id"] == video["id"]]
        video_name = Path(video["file_names"][0]).parent.name
        ids = {str(i): names[x["category_id"]] for i, x in enumerate(tracks, start=1)}
        categories[video_name] = ids
        for t, name in enumerate(video["file_names"]):
            masks = np.zeros((video["height"], video["width"]), np.uint8)
            for i, track in enumerate(tracks, start=1):
                if track["segmentations"][t]:
                    masks[decode(track["segmentations"][t])] = i
            path = (folder / "masks" / name).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), masks)
    (folder / "categories.json").write_text(json.dumps(categories))
    return {name for video in categories.values() for name in video.values()}


def test_ones_own_data_as_the_page_says(data_sets, tmp_path):
    """docs/own_data.md: convert, validate, split, a config, train, evaluate, look."""
    names = write_id_masks(data_sets / "moving_shapes", tmp_path)
    options = {x: str(tmp_path / x) for x in ("frames", "masks")}
    options["categories"] = str(tmp_path / "categories.json")
    options["output"] = json_file = str(tmp_path / "train.json")
    convert_davis([x for k, v in options.items() for x in (f"--{k}", v)])
    with pytest.raises(SystemExit) as info:
        validate([json_file, "--images", options["frames"]])
    assert info.value.code == 0
    split_ytvis(["--json", json_file, "--fraction", "0.4"])
    (tmp_path / "tiny.yaml").write_text(
        OWN_CONFIG.format(tiny=TINY, folder=tmp_path, number=len(names))
    )
    result = run(
        data_sets,
        "train_net.py",
        *small(tmp_path / "out", 2, "DATASETS.TRAIN", "('my_train',)"),
        config_file=tmp_path / "tiny.yaml",
    )
    assert "AP by category" in result.stdout and min(names) in result.stdout
    # The config that a training leaves knows the data sets and their categories.
    video = ["--input", str(tmp_path / "frames/train_00000"), "--output", str(tmp_path / "drawn")]
    weights = ["--opts", "MODEL.WEIGHTS", str(tmp_path / "out/model_final.pth")]
    threshold = ["--confidence-threshold", "0.01"]
    config_file = tmp_path / "out/config.yaml"
    run(data_sets, "demo/demo.py", *video, *threshold, *weights, config_file=config_file)
    tracks = json.loads((tmp_path / "drawn/results.json").read_text())
    assert tracks and {x["category_name"] for x in tracks} <= names


OWN_CONFIG = """
_BASE_: {tiny}
DATASETS:
  REGISTER:
    - [my_train, {folder}/train_split.json, {folder}/frames]
    - [my_val, {folder}/val_split.json, {folder}/frames]
  TRAIN: ("my_train",)
  TEST: ("my_val",)
MODEL:
  ROI_HEADS:
    NUM_CLASSES: {number}
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--id-masks", "{frames}"], "--id-masks .* would overwrite the input"),
        (["--start", "99"], "there is no frame after 99 s: 4 images at 10 frames/s last for 0.4 s"),
        (["--stride", "0"], "the stride must be 1 frame or more, not 0"),
    ],
)
def test_what_the_demo_refuses(data_sets, tmp_path, capsys, options, message):
    frames = str(data_sets / "moving_shapes/valid/JPEGImages/valid_00000")
    options = [x.format(frames=frames) for x in options]
    given = ["--config-file", str(TINY), "--input", frames]
    with pytest.raises(SystemExit) as info:
        demo([*given, "--output", str(tmp_path / "out/o.mp4"), *options])
    assert info.value.code == 2
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_bad_input_gives_one_clear_line(data_sets, tmp_path):
    demo = ["--video-input", str(tmp_path / "gone.mp4"), "--output", str(tmp_path / "o.mp4")]
    result = run(data_sets, "demo/demo.py", *demo, status=2)
    assert result.stderr.count("\n") == 1
    assert "gone.mp4 cannot be opened as a video" in result.stderr
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, 5) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
    before = clip.read_bytes()
    for output, more, message in (
        (clip, [], "clip.mp4 would overwrite the input"),
        (tmp_path / "o.gif", [], "a video's name ends in one of .avi"),
        (tmp_path / "o.mp4", ["MODEL.WEIGHTS", "gone.pth"], "gone.pth: there is no such file"),
        (tmp_path / "o.mp4", ["MODEL.NOPE", "3"], "Non-existent key: MODEL.NOPE"),
        (tmp_path / "o.mp4", ["MODEL.MASKPROP.LINKING.MATCH", "far"], "'all' or 'near', not 'far'"),
        (tmp_path / "o.mp4", ["MODEL.WEIGHTS", str(clip)], "clip.mp4: cannot be loaded"),
    ):
        demo = ["--video-input", str(clip), "--output", str(output), "--opts", *more]
        result = run(data_sets, "demo/demo.py", *demo, status=2)
        errors = [x for x in result.stderr.splitlines() if x.startswith("error: ")]
        assert len(errors) == 1 and message in errors[0]
        assert "Traceback" not in result.stderr
    assert clip.read_bytes() == before
    result = run(data_sets, "train_net.py", "MODEL.WEIGHTS", "gone.pth", status=2)
    assert "error: MODEL.WEIGHTS is gone.pth: there is no such file" in result.stderr
    options = small(tmp_path, 4, "DATASETS.TRAIN", "('moving_shapes_hard_train',)")
    result = run(data_sets, "train_net.py", *options, status=2)
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "moving_shapes_hard does not hold the 'train' annotations" in result.stderr
    assert "Traceback" not in result.stderr
    result = run(
        data_sets, "train_net.py", *small(tmp_path, 4, "DATASETS.TEST", "('cats',)"), status=2
    )
    assert "there is no data set 'cats': register it with DATASETS.REGISTER" in result.stderr
