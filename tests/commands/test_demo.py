"""``maskprop demo``"""

import json
from pathlib import Path

import numpy as np
import pytest

from maskprop_d2.commands.demo import main
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter

TINY = Path(__file__).parents[2] / "demo/maskprop_tiny.pt"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "folder.mp4"], "is a folder, but has the name of a video"),
        (["--output", "file"], "--output file is a file: name a folder"),
        (["--output", "a.mp4", "--id-masks", "file"], "--id-masks file is a file: name a folder"),
        (["--output", "a.mp4", "--id-masks", "file.mp4"], "--id-masks file.mp4 is a file"),
        (["--output", "a.doc"], "a video's name ends in one of"),
        (["--output", "frames"], "would overwrite the input"),
    ],
)
def test_outputs_that_cannot_be_written(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "file.mp4").touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/0.jpg").touch()
    with pytest.raises(SystemExit) as end:
        main(["--model", "gone.pt", "--input", "frames", *options])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_the_demo_stops_when_the_window_is_closed(tmp_path, monkeypatch, capsys):
    class Window:
        def __init__(self, title):
            self.frames = []

        def show(self, frame):
            self.frames.append(frame)
            return len(self.frames) < 2

    monkeypatch.setattr("maskprop_d2.commands.video_outputs.open_window", Window)
    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for _ in range(20):
            writer.write(np.zeros((64, 96, 3), np.uint8))
    # OpenCV opens video files like cameras.
    options = ["--webcam", str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "out.mp4")]
    main(["--model", str(TINY), *options, "--id-masks", str(tmp_path / "ids")])
    assert "2 frames in " in capsys.readouterr().out
    assert len(list(VideoFile(tmp_path / "out.mp4"))) == 2
    assert sorted(x.name for x in (tmp_path / "ids").iterdir()) == ["00000.png", "00001.png"]
    tracks = json.loads((tmp_path / "results.json").read_text())
    assert all(len(x["segmentations"]) == 2 for x in tracks)
