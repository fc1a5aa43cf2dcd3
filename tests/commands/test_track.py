"""``maskprop track``"""

import json
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from maskprop_d2.commands.track import default_output, main
from maskprop_d2.inference.torchvision_detector import BUILDERS
from maskprop_d2.model_zoo import PRESETS, loading
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter

PRESET = "maskrcnn_resnet50_fpn"
LENGTH = 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights in the layout of torchvision's Mask R-CNN."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(BUILDERS[PRESET]().state_dict(), path)
    return path


@pytest.fixture
def video(tmp_path, monkeypatch):
    """A video in the current folder: a square that moves over noise."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for t in range(LENGTH):
            frame = rng.integers(0, 60, (96, 160, 3), dtype=np.uint8)
            frame[30:60, 20 + 8 * t : 60 + 8 * t] = (250, 120, 30)
            writer.write(frame)
    return tmp_path / "clip.mp4"


def fails(*arguments):
    """Run the command, which must exit with status 2."""
    with pytest.raises(SystemExit) as end:
        main([str(x) for x in arguments])
    assert end.value.code == 2


def test_a_preset_runs_from_start_to_end(video, weights, capsys):
    """With random weights the tracks mean nothing."""
    options = ["--short-side", "32", "--confidence-threshold", "0.02", "--trails"]
    main([str(video), "--model", PRESET, "--weights", str(weights), *options, "--id-masks", "ids"])
    assert f"{LENGTH} frames in " in capsys.readouterr().out
    assert len(list(VideoFile("clip_tracks.mp4"))) == LENGTH
    tracks = json.loads(video.with_name("clip_tracks.json").read_text())
    assert tracks and all(len(x["segmentations"]) == LENGTH for x in tracks)
    assert sorted(x.name for x in video.parent.iterdir()) == [
        *("clip.mp4", "clip_tracks.json", "clip_tracks.mp4", "ids")
    ]


def test_a_second_run_overwrites_nothing(video, capsys):
    for name in ("clip_tracks", "clip_tracks_2"):
        main(["clip.mp4", "--model", "maskprop_tiny"])
        assert (video.parent / f"{name}.mp4").exists() and (video.parent / f"{name}.json").exists()
        assert f"{name}.json" in capsys.readouterr().out
    main(["clip.mp4", "--model", "maskprop_tiny", "--output", "out/a.mp4"])
    assert sorted(x.name for x in (video.parent / "out").iterdir()) == ["a.mp4", "results.json"]


def test_only_the_wanted_categories_are_tracked(video):
    options = ["--model", "maskprop_tiny", "--confidence-threshold", "0.01"]
    names = {}
    for classes in ([], ["--classes", "star", "disk"]):
        main(["clip.mp4", *options, *classes, "--output", "out"])
        tracks = json.loads((video.parent / "out/results.json").read_text())
        names[bool(classes)] = {track["category_name"] for track in tracks}
    assert names[True] and names[True] <= {"star", "disk"} and names[False] - names[True]


def test_an_address_of_a_video(video, capsys):
    handler = partial(SimpleHTTPRequestHandler, directory=str(video.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        main([f"http://127.0.0.1:{server.server_port}/clip.mp4", "--model", "maskprop_tiny"])
        server.shutdown()
    assert f"{LENGTH} frames in " in capsys.readouterr().out
    assert len(list(VideoFile("clip_tracks.mp4"))) == LENGTH


def test_names_of_outputs(tmp_path, monkeypatch):
    folder = tmp_path / "frames.v1"
    folder.mkdir()
    (tmp_path / "a.b.mp4").touch()
    assert default_output(str(folder)) == tmp_path / "frames.v1_tracks.mp4"
    assert default_output(str(tmp_path / "a.b.mp4")) == tmp_path / "a.b_tracks.mp4"
    monkeypatch.chdir(folder)
    assert default_output(".") == tmp_path / "frames.v1_tracks.mp4"
    for video, name in [
        ("0", "camera_0_tracks.mp4"),
        ("rtsp://10.0.0.2:554/live", "live_tracks.mp4"),
        ("rtsp://10.0.0.2", "10.0.0.2_tracks.mp4"),
        ("http://example.org/v/b.mp4?x=1", "b_tracks.mp4"),
    ]:
        assert default_output(video) == folder / name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["gone.mp4"], "there is no video, folder or camera 'gone.mp4'"),
        (["clip.mp4", "--model", "gone.pt"], "no file or published model 'gone.pt'"),
        (["clip.mp4", "--model", "mask_rcnn_R_50"], "did you mean mask_rcnn_R_50_FPN_3x"),
        (["clip.mp4", "--model", "clip.mp4"], "clip.mp4 is not an exported model"),
        (["clip.mp4", "--model", "maskprop_tiny", "--tracker", "iou"], "is an exported model"),
        (["clip.mp4", "--model", "maskprop_tiny", "--classes", "disc"], "no category 'disc'"),
        (["clip.mp4", "--model", PRESET, "--weights", "gone.pth"], "gone.pth: there is no"),
        (["clip.mp4", "--short-side", "0"], "argument --short-side: must be at least 1, not 0"),
        (["clip.mp4", "--output", "clip.mp4"], "would overwrite the input"),
    ],
)
def test_bad_input(options, message, video, capsys):
    fails(*options)
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]
    assert [x.name for x in video.parent.iterdir()] == ["clip.mp4"]


def test_an_unknown_tracking_method(video, weights, capsys):
    fails(video, "--model", PRESET, "--weights", weights, "--tracker", "magic")
    assert "magic" in capsys.readouterr().err.splitlines()[-1]


def test_without_network_and_detectron2_one_line_says_what_is_missing(
    video, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(loading, "has_detectron2", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    offline = replace(PRESETS[PRESET], url="http://127.0.0.1:1/weights-bf2d0c1e.pth")
    monkeypatch.setitem(PRESETS, PRESET, offline)
    fails(video)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {PRESET}: weights-bf2d0c1e.pth (178 MB) cannot be fetched from")
    assert line.endswith("Copy it to this machine and name it with --weights FILE")
    fails(video, "--model", "mask_rcnn_R_50_FPN_3x")
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs Detectron2, which is not installed" in line and PRESET in line
