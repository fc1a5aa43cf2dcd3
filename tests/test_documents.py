"""The code and the config keys in the documents are right."""

import importlib.util
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import Object, Scene, id_runs, track

import maskprop_d2
from maskprop_d2 import model_zoo, tracking
from maskprop_d2.commands.validate import main as validate
from maskprop_d2.video.writing import VideoWriter

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "datasets", *ROOT.glob("maskprop_d2/configs/*"))
    for path in (*folder.glob("*.md"), *folder.glob("*.ipynb"))
    # The changelog names keys that are gone.
    if path.name != "CHANGELOG.md"
]


def code_block(document, start):
    """The Python block of a document that starts with a text."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    (block,) = [x for x in blocks if x.startswith(start)]
    return block


def load_module(name, path, code):
    """Write a module's code and import it."""
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_quick_start_runs(tmp_path, monkeypatch, capsys):
    with VideoWriter(tmp_path / "my_video.mp4", 8) as writer:
        for _ in range(2):
            writer.write(np.zeros((64, 96, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    get = model_zoo.get
    # The tiny model instead of one that is fetched.
    monkeypatch.setattr(model_zoo, "get", lambda name: get("maskprop_tiny"))
    exec(code_block("README.md", "from maskprop_d2 import model_zoo"), {})
    assert re.fullmatch(r"0 \[.*\] \[.*\]\n1 \[.*\] \[.*\]\n", capsys.readouterr().out)


def test_the_page_on_models_has_the_table():
    text = (ROOT / "docs/models.md").read_text()
    for preset in model_zoo.PRESETS.values():
        needs_detectron2 = "yes" if preset.kind in ("detectron2", "mmdetection") else "no"
        cells = [f"`{preset.name}`", needs_detectron2, preset.dataset, preset.num_categories]
        cells += [preset.mask_ap or "-", f"{preset.megabytes} MB", preset.license]
        assert f"| {' | '.join(map(str, cells))} |" in text


def test_the_new_tracking_method_links_boxes_that_overlap(tmp_path, monkeypatch):
    code = code_block("docs/extending.md", '"""Linking by box IoU')
    module = load_module("maskprop_d2.tracking.box_iou", tmp_path / "box_iou.py", code)
    monkeypatch.setitem(tracking.TRACKERS, "box_iou", module.BoxIoUTracker)
    jump = Object([(4, 4), (5, 4), (90, 60), (91, 60)])
    assert id_runs(track("box_iou", Scene({"a": jump}))["a"]) == [0, 1]


def test_the_new_converter_makes_a_valid_file(tmp_path):
    code = code_block("docs/extending.md", "#!/usr/bin/env python3\n")
    convert = load_module("convert_labelme", tmp_path / "convert_labelme.py", code).main
    folder = tmp_path / "frames/video"
    folder.mkdir(parents=True)
    for t in range(3):
        cv2.imwrite(str(folder / f"{t}.jpg"), np.zeros((30, 40, 3), np.uint8))
        points = [[5 + t, 5], [20 + t, 5], [20 + t, 25]]
        shape = {"label": "cat", "points": points, "group_id": 1}
        file = {"imagePath": f"{t}.jpg", "shapes": [shape] if t != 1 else []}
        (folder / f"{t}.json").write_text(json.dumps(file))
    output = tmp_path / "train.json"
    convert(["--frames", str(tmp_path / "frames"), "--output", str(output)])
    (annotation,) = json.loads(output.read_text())["annotations"]
    assert [x is None for x in annotation["segmentations"]] == [False, True, False]
    with pytest.raises(SystemExit) as info:
        validate([str(output), "--images", str(tmp_path / "frames")])
    assert info.value.code == 0
    (folder / "0.json").write_text("{}")
    with pytest.raises(SystemExit) as info:
        convert(["--frames", str(tmp_path / "frames"), "--output", str(output)])
    assert info.value.code == 2


def test_the_test_of_the_new_converter_passes(tmp_path, monkeypatch, capsys):
    code = code_block("docs/extending.md", "#!/usr/bin/env python3\n")
    (tmp_path / "convert_labelme.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "tests/datasets")
    names: dict = {}
    exec(code_block("docs/extending.md", "import json\n\nimport cv2"), names)
    names["test_labelme"](tmp_path, capsys)


NEW_FILES = {
    "maskprop_d2/tracking/box_iou.py",
    "datasets/convert_labelme.py",
    "tests/datasets/test_convert_labelme.py",
    "tests/tracking/test_box_iou.py",
}
"""Files that a reader of docs/extending.md writes."""


# The changelog names files of its time.
@pytest.mark.parametrize(
    "document",
    [x for x in DOCUMENTS if x.name != "CHANGELOG.md"],
    ids=lambda x: str(x.relative_to(ROOT)),
)
def test_files_of_the_repository_exist(document):
    folders = "configs|datasets|demo|docs|maskprop_d2|tests|tools"
    path = rf"(?<![\w./])(?:{folders})/[\w./-]+\.(?:md|pt|py|yaml)\b"
    for name in set(re.findall(path, document.read_text())) - NEW_FILES:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda x: str(x.relative_to(ROOT)))
def test_config_keys_exist(document):
    config = pytest.importorskip("detectron2.config").get_cfg()
    maskprop_d2.add_maskprop_config(config)
    keys = set()

    def collect(node, prefix):
        for name, value in node.items():
            keys.add(f"{prefix}{name}.")
            if isinstance(value, dict):
                collect(value, f"{prefix}{name}.")

    collect(config, ".")
    text = document.read_text().replace("BOX_IOU.MIN_IOU", "")
    for mention in re.findall(r"(?<![\w/.])[A-Z][A-Z0-9_]+(?:\.[A-Z][A-Z0-9_]+)+(?![\w/])", text):
        assert any(key.endswith(f".{mention}.") for key in keys), mention
