"""Bad input of the demo and of trainings gives one line and exit status 2."""

import re

import numpy as np
import pytest
import torch
from small_training import TINY, run_here, small
from torch import nn

from demo import main as demo
from maskprop_d2.video.writing import VideoWriter


def demo_error(capsys, *options):
    """The error that the demo prints."""
    with pytest.raises(SystemExit) as info:
        demo(["--config-file", str(TINY), *options])
    assert info.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--id-masks", "{frames}"], "--id-masks .* would overwrite the input"),
        (["--start", "99"], "there is no frame after 99 s: 4 images at 10 frames/s last for 0.4 s"),
        (["--stride", "0"], "the stride must be 1 frame or more, not 0"),
    ],
)
def test_options_of_the_demo(data_sets, tmp_path, capsys, options, message):
    frames = str(data_sets / "moving_shapes/valid/JPEGImages/valid_00000")
    options = [x.format(frames=frames) for x in options]
    output = ["--input", frames, "--output", str(tmp_path / "out/o.mp4")]
    assert re.search(message, demo_error(capsys, *output, *options))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_video(tmp_path, capsys):
    video = ["--video-input", str(tmp_path / "gone.mp4"), "--output", str(tmp_path / "o.mp4")]
    error = demo_error(capsys, *video)
    assert error.count("\n") == 1 and "gone.mp4 cannot be opened as a video" in error


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("clip.mp4", [], "clip.mp4 would overwrite the input"),
        ("o.gif", [], "a video's name ends in one of .avi"),
        ("o.mp4", ["MODEL.WEIGHTS", "gone.pth"], "gone.pth: there is no such file"),
        ("o.mp4", ["MODEL.NOPE", "3"], "Non-existent key: MODEL.NOPE"),
        ("o.mp4", ["MODEL.MASKPROP.LINKING.MATCH", "far"], "'all' or 'near', not 'far'"),
        ("o.mp4", ["MODEL.WEIGHTS", "{clip}"], "clip.mp4: cannot be loaded"),
    ],
)
def test_outputs_and_configs_of_the_demo(tmp_path, capsys, output, options, message):
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, 5) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
    before = clip.read_bytes()
    video = ["--video-input", str(clip), "--output", str(tmp_path / output)]
    options = [x.format(clip=clip) for x in options]
    error = demo_error(capsys, *video, "--opts", *options)
    errors = [x for x in error.splitlines() if x.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert clip.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["MODEL.WEIGHTS", "gone.pth"], "MODEL.WEIGHTS is gone.pth: there is no such file"),
        (
            ["DATASETS.TRAIN", "('moving_shapes_hard_train',)"],
            "moving_shapes_hard does not hold the 'train' annotations",
        ),
        (
            ["--eval-only", "DATASETS.TEST", "('cats',)"],
            "there is no dataset 'cats': register it with DATASETS.REGISTER",
        ),
        (["DATASETS.TRAIN", "('moving_shape_val',)"], "or name one of moving_shapes_val, "),
        (["OUTPUT_DIR", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_trainings(data_sets, tmp_path, options, message):
    flags = [x for x in options if x.startswith("--")]
    keys = [x for x in options if x not in flags]
    _, error = run_here(*flags, *small(tmp_path, 4, *keys), status=2)
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error


def test_hostile_weights(data_sets, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save({"model": {"a": nn.Linear(1, 1)}}, weights)
    options = small(tmp_path / "out", 2, "MODEL.WEIGHTS", str(weights))
    _, error = run_here(*options, status=2)
    assert re.search(r"weights\.pth: cannot be loaded .* refers to .*torch\.nn\.modules", error)
