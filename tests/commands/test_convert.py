"""``maskprop convert``"""

from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_checkpoint import checkpoint, masktrack

from maskprop_d2 import model_zoo
from maskprop_d2.commands.convert import find_published
from maskprop_d2.commands.main import main
from maskprop_d2.engine import class_names, load_config
from maskprop_d2.model_zoo import PRESETS


def convert(contents, folder):
    """Write and convert a checkpoint; returns the config."""
    given = folder / "given.pth"
    torch.save(contents, given, _use_new_zipfile_serialization=False)
    main(["convert", str(given), "--output", str(folder / "new/model.pth")])
    return folder / "new/model.yaml"


def test_the_written_model_runs(tmp_path, capsys):
    config = convert(checkpoint(), tmp_path)
    assert "Hybrid Task Cascade" in capsys.readouterr().out
    cfg = load_config(config, [])
    assert cfg.MODEL.RESNETS.NUM_GROUPS == 2 and cfg.MODEL.ROI_HEADS.NUM_CLASSES == 5
    source = torch.load(tmp_path / "new/model.pth", weights_only=True)["source"]
    assert len(source["sha256"]) == 64 and source["from"].endswith("given.pth")
    segmenter = model_zoo.load_model(
        str(config), model_zoo.ModelOptions(device="cpu", score_threshold=0.01, short_side=64)
    )
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), dtype=np.uint8)
    assert len(segmenter.segment(frames).as_dict()["track_ids"]) > 0


def test_masktrack_rcnn_tracks(tmp_path, capsys):
    config = convert(masktrack(), tmp_path)
    assert "does not say how it was trained" in capsys.readouterr().out
    options = model_zoo.ModelOptions(device="cpu", short_side=64)
    segmenter = model_zoo.load_model(str(config), options)
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), dtype=np.uint8)
    assert len(segmenter.segment(frames).as_dict()["track_ids"]) > 0


def test_other_categories_get_no_wrong_names(tmp_path, capsys):
    names = tuple(f"part {i}" for i in range(40))
    config = convert({**masktrack(), "meta": {"CLASSES": names}}, tmp_path)
    assert "its categories are not those of COCO or YouTube-VIS" in capsys.readouterr().out
    assert class_names(load_config(config, []))[:2] == ["class 0", "class 1"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"state_dict": {"a": torch.ones(1)}}, "it is of another model"),
        ({"state_dict": {"a": Path("a")}}, "it refers to pathlib"),
        (b"", "damaged"),
    ],
)
def test_bad_input_gives_one_line_and_no_file(tmp_path, capsys, contents, message):
    given = tmp_path / "given.pth"
    if isinstance(contents, bytes):
        given.write_bytes(contents)
    else:
        torch.save(contents, given)
    with pytest.raises(SystemExit) as exit_info:
        main(["convert", str(given), "--output", str(tmp_path / "model.pth")])
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and "given.pth" in line
    assert list(tmp_path.iterdir()) == [given]


def test_weights_of_other_shapes_are_refused(tmp_path, capsys):
    contents = checkpoint()
    weights = contents["state_dict"]
    name = "roi_head.semantic_head.convs.2.conv.weight"
    weights[name] = weights[name][:4]
    with pytest.raises(SystemExit):
        convert(contents, tmp_path)
    assert "semantic_branch.convs.2.weight has the shape (4, 8, 3, 3)" in capsys.readouterr().err


def test_names_and_addresses_of_published_models():
    preset = PRESETS["htc_R_50_FPN"]
    assert find_published("htc_R_50_FPN") is find_published(preset.url) is preset
    other = find_published("https://example.org/a/mask-1234abcd.pth")
    assert other.checksum == "sha256:1234abcd" and other.name == "mask-1234abcd"
    assert find_published("some/file.pth") is None
