"""``tools/compare_trackers.py`` on an untrained network."""

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from make_moving_shapes import main as make_moving_shapes

if not find_spec("detectron2"):
    pytest.skip("needs Detectron2", allow_module_level=True)

import torch
from compare_trackers import main
from comparing.features import propagate
from detectron2.modeling import build_model

from maskprop_d2.engine import load_config
from maskprop_d2.evaluation import evaluate
from maskprop_d2.evaluation.hota_figures import hota_measures
from maskprop_d2.modeling.meta_arch import MaskProp
from maskprop_d2.networks.propagation import PropagationBranch, per_frame
from maskprop_d2.tracking import OWN_WEIGHTS, TRACKERS

TINY = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"
TRAINED = ["MODEL.WEIGHTS", str(Path(__file__).parents[2] / "demo/maskprop_tiny.pt")]
SMALL = [
    "INPUT.MIN_SIZE_TEST",
    "48",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "0.01",
    "MODEL.WEIGHTS",
    "",
]


@pytest.fixture
def compare(tmp_path, capsys):
    """A function that runs the command and returns its table, its printed output and its folder."""
    folder, name = tmp_path / "data", tmp_path.name
    sizes = {"train": 0, "val": 2, "seed": 3, "height": 48, "width": 64, "length": 4}
    make_moving_shapes([f"--output={folder}", *(f"--{k}={v}" for k, v in sizes.items())])
    register = [[name, str(folder / "valid.json"), str(folder / "valid/JPEGImages")]]

    def run(*options, opts=()):
        output = tmp_path / "out"
        common = ["--config-file", str(TINY), "--dataset", name, "--output", str(output)]
        main([*common, *options, "--opts", *SMALL, *opts, "DATASETS.REGISTER", str(register)])
        if "--show" in options:
            return cv2.imread(str(output / "features.png"))
        return json.loads((output / "table.json").read_text()), capsys.readouterr().out, output

    return run


def test_every_method_links_the_same_detections(compare):
    rows, printed, output = compare(opts=["MODEL.MASKPROP.LINKING.FINAL_MASK", "center"])
    assert list(rows) == [x for x in TRACKERS if x not in OWN_WEIGHTS]
    for method in OWN_WEIGHTS:
        line = f"{method} is skipped: this model has no weights for the tracking method '{method}'."
        assert printed.count(line) == 1
    assert all(0 <= row["AP"] <= 100 and row["ms a frame"] > 0 for row in rows.values())
    assert "| maskprop |" in printed and "The detector takes" in printed
    truth = json.loads((output.parent / "data/valid.json").read_text())
    for name, row in rows.items():
        found = json.loads((output / f"results_{name}.json").read_text())
        assert row["HOTA"] == hota_measures(evaluate(truth, found, hota=True))["HOTA"]
    masks = [
        sorted(
            (x["video_id"], t, mask["counts"])
            for x in json.loads((output / f"results_{name}.json").read_text())
            for t, mask in enumerate(x["segmentations"])
            if mask
        )
        for name in rows
    ]
    assert masks[0] and all(x == masks[0] for x in masks)


def test_methods_with_their_own_weights(compare, tmp_path):
    weights = []
    for method in OWN_WEIGHTS:
        model = build_model(load_config(str(TINY), [*SMALL, "MODEL.MASKPROP.TRACKER", method]))
        torch.save({"model": model.state_dict()}, tmp_path / f"{method}.pth")
        weights.append(f"{method}={tmp_path / method}.pth")
    rows, printed, _ = compare("--trackers", "iou", *OWN_WEIGHTS, "--weights", *weights)
    assert list(rows) == ["iou", *OWN_WEIGHTS] and "skipped" not in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--trackers", "feelvos"],
            "error: this model has no weights for the tracking method 'feel",
        ),
        (
            ["--trackers", "masktrack"],
            "error: this model has no weights for the tracking method 'm",
        ),
        (["--weights", "osmn=gone.pth"], "MODEL.WEIGHTS is gone.pth: there is no such file"),
        (["--weights", "iou=some.pth"], "METHOD one of masktrack, feelvos, osmn, ensemble"),
        (["--weights", "osmn"], "--weights takes METHOD=FILE"),
    ],
)
def test_missing_weights(compare, capsys, options, message):
    with pytest.raises(SystemExit) as info:
        compare(*options)
    assert info.value.code == 2
    assert message in capsys.readouterr().err


def test_some_methods(compare):
    rows, _, output = compare("--trackers", "iou", "seqtracker")
    assert list(rows) == ["iou", "seqtracker"]
    assert (output / "strips.html").read_text().startswith("<!DOCTYPE html>")
    assert not list(output.glob("*.png"))


def test_a_sweep_gives_a_row_for_each_value_and_a_curve(compare, monkeypatch):
    batches = []
    pyramid = MaskProp.pyramid
    monkeypatch.setattr(
        MaskProp, "pyramid", lambda self, x: batches.append(len(x)) or pyramid(self, x)
    )
    rows, _, output = compare(
        *("--sweep", "clip-radius", "--values", "1", "3", "10"),
        # Masks that an untrained network propagates are empty.
        opts=[*TRAINED, "MODEL.MASKPROP.LINKING.FINAL_MASK", "average"],
    )
    assert list(rows) == ["clip-radius 1", "clip-radius 3", "clip-radius 10"]
    assert (output / "clip-radius.png").stat().st_size > 1000
    # The detector runs once over two videos of four frames.
    assert sum(batches) == 8
    # With a radius of 3 or more each clip is the whole video.
    results = {x: (output / f"results_clip-radius_{x}.json").read_text() for x in (1, 3, 10)}
    assert results[1] != results[3] == results[10]


def test_propagated_features(compare):
    opts = [*TRAINED, "MODEL.MASKPROP.PRECISION", "bfloat16"]
    sheet = compare("--show", "features", "--video", "2", "--frame", "1", opts=opts)
    # Frames and features are drawn in colour.
    assert sheet.shape[1] > 500 and np.ptp(sheet[:, :, :3].astype(int), axis=2).max() > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--show", "features", "--video", "3"], "has no video 3"),
        (["--show", "features", "--frame", "4"], "video 1 has no frame 4, only 0 to 3"),
        (["--frame", "1"], "--video and --frame need --show"),
    ],
)
def test_wrong_options_of_features(compare, capsys, options, message):
    with pytest.raises(SystemExit) as info:
        compare(*options)
    assert info.value.code == 2
    assert message in capsys.readouterr().err


def test_features_without_detections(compare, capsys):
    with pytest.raises(SystemExit):
        compare("--show", "features", opts=["MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.99"])
    assert "error: no detection in frame" in capsys.readouterr().err


def test_propagated_features_are_those_under_the_mask():
    """An untrained branch has identity taps and no offsets."""
    torch.manual_seed(0)
    branch = PropagationBranch(
        in_channels=4,
        offset_channels=4,
        num_groups=2,
        dilations=[1, 2],
        hidden_dim=0,
        background=True,
        impl="literal",
    )
    masks = torch.zeros(2, 6, 8)
    masks[0, 1:3, 2:5], masks[1, 4:, 6:] = 1, 0.5
    features = torch.randn(3, 4, 6, 8)
    outputs = {
        s: SimpleNamespace(grid_masks=masks, maps=maps)
        for s, maps in zip(
            (4, 5, 6), per_frame(branch.encode(features, features[:, :3])), strict=True
        )
    }
    network = SimpleNamespace(
        propagation=branch,
        propagate=lambda source, targets: branch(masks, source.maps, [x.maps for x in targets]),
    )
    norms, shown = propagate(network, outputs, 5, torch.tensor([1]))
    expected = masks[1] * features[1].norm(dim=0)
    np.testing.assert_allclose(norms, expected.expand(3, 1, 6, 8), atol=1e-6)
    assert (shown[1, 0] == masks[1].numpy()).all()
    assert not np.array_equal(shown[0, 0], masks[1].numpy())
