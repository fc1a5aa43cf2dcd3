"""``maskprop track`` with models that need Detectron2."""

import json

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from small_training import TINY, WEIGHTS

from maskprop_d2 import model_zoo
from maskprop_d2.commands.track import main
from maskprop_d2.engine import load_config
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter
from maskprop_d2.ytvis.categories import COCO

PRESET = "mask_rcnn_R_50_FPN_3x"


@pytest.fixture
def video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for t in range(3):
            frame = np.zeros((96, 160, 3), np.uint8)
            frame[30:60, 20 + 8 * t : 60 + 8 * t] = (250, 120, 30)
            writer.write(frame)
    return tmp_path / "clip.mp4"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of the preset."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    model = build_model(load_config(model_zoo.get_config_file(PRESET), ["MODEL.DEVICE", "cpu"]))
    torch.save({"model": model.state_dict()}, path)
    return path


def fails(*arguments):
    """Run the command, which must exit with status 2."""
    with pytest.raises(SystemExit) as end:
        main([str(x) for x in arguments])
    assert end.value.code == 2


@pytest.mark.parametrize("name", [PRESET, "own.yaml"])
def test_models_of_detectron2_run_from_start_to_end(name, video, weights):
    """With random weights the tracks mean nothing."""
    if name == "own.yaml":
        base = model_zoo.get_config_file(PRESET)
        (video.parent / name).write_text(f"_BASE_: {base}\nINPUT: {{MIN_SIZE_TEST: 32}}\n")
    options = ["--short-side", "32"] if name == PRESET else []
    options += ["--confidence-threshold", "0", "--output", "out"]
    main(["clip.mp4", "--model", name, "--weights", str(weights), *options])
    assert len(list(VideoFile(video.parent / "out/%05d.jpg"))) == 3
    tracks = json.loads((video.parent / "out/results.json").read_text())
    assert tracks and all(len(x["segmentations"]) == 3 for x in tracks)
    assert {track["category_name"] for track in tracks} <= set(COCO.values())


def test_a_trained_config_of_this_project(video):
    options = ["--weights", str(WEIGHTS), "--confidence-threshold", "0.01", "--tracker", "iou"]
    main(["clip.mp4", "--model", str(TINY), *options, "--classes", "square", "--output", "out"])
    tracks = json.loads((video.parent / "out/results.json").read_text())
    assert {track["category_name"] for track in tracks} == {"square"}


def test_a_random_network_is_never_used(video, capsys):
    fails(video, "--model", TINY)
    assert "MODEL.WEIGHTS is empty" in capsys.readouterr().err.splitlines()[-1]
    tiny = torch.load(WEIGHTS, weights_only=True)["model"]
    detector = {k: v for k, v in tiny.items() if not k.startswith("propagation.")}
    torch.save({"model": detector}, "detector.pth")
    fails(video, "--model", TINY, "--weights", "detector.pth")
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"error: detector.pth has no weights for propagation of {TINY}" in line
    assert not (video.parent / "clip_tracks.mp4").exists()
