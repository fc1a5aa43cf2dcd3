"""The code of docs/any_detector.md"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from maskprop_d2.commands.link import main
from maskprop_d2.video.writing import VideoWriter

PAGE = Path(__file__).parents[1] / "docs/any_detector.md"
SIZE = 48, 64


def detect(frame):
    mask = np.zeros((1, *SIZE), bool)
    mask[:, 10:30, 10:40] = True
    return mask, [0.9], [1]


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    """The Python code, beside the video that it reads."""
    monkeypatch.chdir(tmp_path)
    with VideoWriter("street.mp4", 8) as writer:
        for _ in range(3):
            writer.write(np.zeros((*SIZE, 3), np.uint8))
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_first_example_links(blocks, capsys):
    exec(blocks[0].replace("    ...\n", "    return given(frame)\n"), {"given": detect})
    assert capsys.readouterr().out == "".join(f"{t} [0] [1]\n" for t in range(3))


def test_the_file_it_writes_can_be_linked(blocks):
    names = {"detect": detect}
    exec(blocks[0].split("def detect")[0] + blocks[-1], names)
    source = ["--video-input", "street.mp4"]
    main(["--detections", "detections.json", *source, "--output", "out.mp4"])
    (track,) = json.loads(Path("results.json").read_text())
    assert (track["category_id"], track["category_name"]) == (1, "bus")
    assert None not in track["segmentations"]


def test_every_detector_defines_detect(blocks):
    for block in blocks[:-1]:
        compile(block, "block", "exec")
        assert "def detect(frame):" in block
