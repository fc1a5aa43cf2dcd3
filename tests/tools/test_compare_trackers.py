"""``tools/compare_trackers.py`` on a network that has learnt nothing."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from make_moving_shapes import main as make_moving_shapes

if not find_spec("detectron2"):
    pytest.skip("it needs Detectron2", allow_module_level=True)

import torch
from compare_trackers import main
from detectron2.modeling import build_model

from maskprop_d2.engine import load_config
from maskprop_d2.tracking import OWN_WEIGHTS, TRACKERS

TINY = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"
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
    """Runs the command; gives the rows of its table, what it printed, and its folder."""
    folder, name = tmp_path / "data", tmp_path.name
    sizes = {"train": 0, "val": 2, "seed": 3, "height": 48, "width": 64, "length": 4}
    make_moving_shapes([f"--output={folder}", *(f"--{k}={v}" for k, v in sizes.items())])
    register = [[name, str(folder / "valid.json"), str(folder / "valid/JPEGImages")]]

    def run(*options):
        output = tmp_path / "out"
        common = ["--config-file", str(TINY), "--dataset", name, "--output", str(output)]
        main([*common, *options, "--opts", *SMALL, "DATASETS.REGISTER", str(register)])
        return json.loads((output / "table.json").read_text()), capsys.readouterr().out, output

    return run


def test_every_method_links_the_same_detections(compare):
    rows, printed, output = compare()
    # Those that need weights of their own say how to get them.
    assert list(rows) == [x for x in TRACKERS if x not in OWN_WEIGHTS]
    for method in OWN_WEIGHTS:
        line = f"{method} is left out: this model has no weights of the tracking method '{method}'."
        assert printed.count(line) == 1
    assert all(0 <= row["AP"] <= 100 and row["ms a frame"] > 0 for row in rows.values())
    assert "| maskprop |" in printed and "The detector takes" in printed
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


def test_methods_with_weights_of_their_own(compare, tmp_path):
    weights = []
    for method in OWN_WEIGHTS:
        model = build_model(load_config(str(TINY), [*SMALL, "MODEL.MASKPROP.TRACKER", method]))
        torch.save({"model": model.state_dict()}, tmp_path / f"{method}.pth")
        weights.append(f"{method}={tmp_path / method}.pth")
    rows, printed, _ = compare("--trackers", "iou", *OWN_WEIGHTS, "--weights", *weights)
    assert list(rows) == ["iou", *OWN_WEIGHTS] and "left out" not in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--trackers", "feelvos"],
            "error: this model has no weights of the tracking method 'feel",
        ),
        (["--trackers", "masktrack"], "error: this model has no weights of the tracking method 'm"),
        (["--weights", "osmn=gone.pth"], "MODEL.WEIGHTS is gone.pth: there is no such file"),
        (["--weights", "iou=some.pth"], "METHOD one of masktrack, feelvos, osmn, ensemble"),
        (["--weights", "osmn"], "--weights are METHOD=FILE"),
    ],
)
def test_weights_that_are_missing(compare, capsys, options, message):
    with pytest.raises(SystemExit) as info:
        compare(*options)
    assert info.value.code == 2
    assert message in capsys.readouterr().err


def test_some_methods(compare):
    rows, *_ = compare("--trackers", "iou", "seqtracker")
    assert list(rows) == ["iou", "seqtracker"]


def test_a_sweep_gives_a_row_for_each_value_and_a_curve(compare):
    rows, _, output = compare("--sweep", "clip-radius", "--values", "1", "2")
    assert list(rows) == ["clip-radius 1", "clip-radius 2"]
    assert (output / "clip-radius.png").stat().st_size > 1000
