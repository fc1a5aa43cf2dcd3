"""The demo as a user runs it, with a config and weights."""

import json
import os
import re
import signal
from fractions import Fraction

import cv2
import pytest
from small_training import TINY, WEIGHTS, command, run, small, start, wait_for

from demo import main as demo
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter


@pytest.fixture(scope="module")
def frames(data_sets):
    """A folder of four frames."""
    return data_sets / "moving_shapes/valid/JPEGImages/valid_00000"


def options(folder):
    return ["--opts", *small(folder, 4), "MODEL.WEIGHTS", str(WEIGHTS)]


def write_video(path, frames, repeat, fps):
    with VideoWriter(path, fps) as writer:
        for frame in [*VideoFile(frames / "%05d.jpg")] * repeat:
            writer.write(frame)


def test_a_video_and_a_folder_of_frames(frames, tmp_path, capsys):
    write_video(tmp_path / "clip.mp4", frames, 1, 12.5)
    config = ["--config-file", str(TINY)]
    output = tmp_path / "out/annotated.mp4"
    video = ["--video-input", str(tmp_path / "clip.mp4"), "--output", str(output)]
    demo([*config, *video, "--confidence-threshold", "0.01", *options(tmp_path)])
    annotated = VideoFile(output)
    assert annotated.fps == VideoFile(tmp_path / "clip.mp4").fps
    assert len(list(annotated)) == 4
    tracks = json.loads((tmp_path / "out/results.json").read_text())
    assert tracks and len(tracks[0]["segmentations"]) == 4
    assert "frames/s" in capsys.readouterr().out

    folder = ["--input", str(frames), "--output", str(tmp_path / "folder")]
    demo([*config, *folder, "--confidence-threshold", "1.0", *options(tmp_path)])
    assert len(list((tmp_path / "folder").glob("*.jpg"))) == 4
    # No score is above 1.
    assert json.loads((tmp_path / "folder/results.json").read_text()) == []


def test_an_excerpt_with_trails_and_id_masks(frames, tmp_path):
    write_video(tmp_path / "clip.mp4", frames, 5, 10)
    video = ["--video-input", str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "o.mp4")]
    video += ["--start", "0.5", "--duration", "1", "--stride", "3"]
    video += ["--trails", "--id-masks", str(tmp_path / "ids")]
    result = run(command(*video, *options(tmp_path), script="demo/demo.py"))
    assert "4 frames in " in result.stdout and "is_fx_tracing" not in result.stderr + result.stdout
    assert VideoFile(tmp_path / "o.mp4").fps == Fraction(10, 3)
    check_output(tmp_path, 4)
    ids = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "ids").iterdir()]
    assert any(x.any() for x in ids)


def check_output(folder, num_frames):
    """``o.mp4``, ``results.json`` and ``ids`` have this number of frames."""
    assert len(list(VideoFile(folder / "o.mp4"))) == num_frames
    tracks = json.loads((folder / "results.json").read_text())
    assert tracks and {len(x["segmentations"]) for x in tracks} == {num_frames}
    names = sorted(path.name for path in (folder / "ids").iterdir())
    assert names == [f"{i:05d}.png" for i in range(num_frames)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_keeps_what_is_finished(frames, tmp_path, monkeypatch, number):
    monkeypatch.delenv("DISPLAY", raising=False)
    write_video(tmp_path / "clip.mp4", frames, 500, 10)
    # OpenCV opens a file as a camera too.
    source = "--video-input" if number == signal.SIGINT else "--webcam"
    video = [source, str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "out/o.mp4")]
    video += ["--trails", "--id-masks", str(tmp_path / "out/ids")]
    log = tmp_path / "log"
    arguments = ["--config-file", str(TINY), *video, *options(tmp_path)]
    process = start(lambda: demo(arguments), log, ignore_sigint=True)
    wait_for(tmp_path / "out/ids/00002.png", process, log)
    os.kill(process.pid, number)
    process.join(60)
    # Interruption is how a camera ends.
    assert process.exitcode == (128 + number if source == "--video-input" else 0)
    printed = log.read_text()
    assert "Interrupted: the finished frames are kept." in printed and "Traceback" not in printed
    done = int(re.search(r"^(\d+) frames in ", printed, re.MULTILINE)[1])
    assert 3 <= done < 2000
    check_output(tmp_path / "out", done)
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["ids", "o.mp4", "results.json"]
