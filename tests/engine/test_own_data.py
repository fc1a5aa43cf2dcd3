"""The steps of docs/own_data.md: convert, validate, split, train, evaluate, run the demo."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from convert_davis import main as convert_davis
from small_training import TINY, run_here, small
from split_ytvis import main as split_ytvis

from demo import main as demo
from maskprop_d2.commands.validate import main as validate
from maskprop_d2.ops.rle import decode

CONFIG = """
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


def write_id_masks(data_set, folder):
    """A MovingShapes split as folders of frames and of id masks. Returns its categories."""
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


def test_own_data(data_sets, tmp_path):
    names = write_id_masks(data_sets / "moving_shapes", tmp_path)
    options = {x: str(tmp_path / x) for x in ("frames", "masks")}
    options["categories"] = str(tmp_path / "categories.json")
    options["output"] = json_file = str(tmp_path / "train.json")
    convert_davis([x for k, v in options.items() for x in (f"--{k}", v)])
    with pytest.raises(SystemExit) as info:
        validate([json_file, "--images", options["frames"]])
    assert info.value.code == 0
    split_ytvis(["--json", json_file, "--fraction", "0.4"])
    config_file = tmp_path / "tiny.yaml"
    config_file.write_text(CONFIG.format(tiny=TINY, folder=tmp_path, number=len(names)))
    options = small(tmp_path / "out", 2, "DATASETS.TRAIN", "('my_train',)")
    printed, _ = run_here(*options, config_file=config_file)
    assert "AP by category" in printed and min(names) in printed
    # The config that a training writes has the datasets and their categories.
    video = ["--config-file", str(tmp_path / "out/config.yaml")]
    video += ["--input", str(tmp_path / "frames/train_00000"), "--output", str(tmp_path / "drawn")]
    weights = ["--opts", "MODEL.WEIGHTS", str(tmp_path / "out/model_final.pth")]
    demo([*video, "--confidence-threshold", "0.01", *weights])
    tracks = json.loads((tmp_path / "drawn/results.json").read_text())
    assert tracks and {x["category_name"] for x in tracks} <= names
