"""FLOP counts equal those computed by hand."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import benchmark
import pytest
import torch
from torch import nn

if not find_spec("detectron2"):
    pytest.skip("the models need Detectron2", allow_module_level=True)

from benchmarks.costs import costs, parameters
from benchmarks.flop_counter import FlopCounter
from detectron2.layers import DeformConv
from detectron2.modeling import build_model
from torchvision.ops import roi_align

from maskprop_d2.engine import load_config
from maskprop_d2.modeling.backbone.deformable import TorchvisionDeformConv

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = CONFIGS / "moving_shapes/maskprop_tiny.yaml"
FULL = CONFIGS / "moving_shapes/maskprop_tiny_full.yaml"
SIZE = (128, 192)


@torch.no_grad()
def flops(module, *inputs):
    return FlopCounter()(module.forward, module, *inputs)


def test_plain_convolutions():
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 1, groups=2)
    )
    # 5 x 4 cells; in the second layer each of the 6 outputs has 4 inputs.
    expected = 5 * 4 * 8 * 3 * 9 + 5 * 4 * 6 * 4
    assert flops(layers, torch.zeros(1, 3, 10, 8)) == expected


def test_deformable_convolutions():
    layer = DeformConv(4, 8, 3, stride=2, padding=1, groups=2)
    offsets = torch.zeros(1, 18, 5, 4)
    # A convolution, and bilinear samples of 4 channels at 9 taps of 5 x 4 cells.
    expected = 5 * 4 * 8 * 2 * 9 + 4 * 5 * 4 * 4 * 9
    assert flops(TorchvisionDeformConv(layer), torch.zeros(1, 4, 10, 8), offsets) == expected


def test_roi_align():
    boxes = torch.tensor([[0, 1.0, 1, 5, 5], [0, 2, 2, 7, 7]])
    count = FlopCounter()
    assert count(lambda x: roi_align(x, boxes, 7), nn.Identity(), torch.zeros(1, 3, 9, 9)) == (
        4 * 2 * 3 * 7 * 7
    )
    assert count.not_counted == set()
    count(lambda x: x.cumsum(0), nn.Identity(), torch.zeros(3))
    assert count.not_counted == {"aten::cumsum"}


def propagation_by_hand(cells, channels, offset_channels, instances, targets):
    """FLOPs of the fused path, without the sums over masks, and of the literal path; for a linear
    classifier."""
    maps = cells * channels * (10 * offset_channels + 9)
    # Two GroupNorms: fvcore counts 5 FLOPs per value.
    offsets = cells * (9 * offset_channels**2 + 3 * 18 * 9 * offset_channels + 10 * offset_channels)
    per_object = cells * (3 * (9 * channels**2 + 4 * 9 * channels) + channels)
    fused = maps + cells * channels * (27 + 1) + targets * offsets
    return fused, maps + targets * (offsets + instances * per_object)


def test_propagation_by_hand():
    affinity = "MODEL.MASKPROP.PROPAGATION.AFFINITY.ENABLED"
    row = costs(TINY, SIZE, 3, [affinity, False])
    cells = 32 * 48
    fused, literal = propagation_by_hand(cells, 64, 64, 3, 6)
    assert row["literal_propagation_flops"] == literal
    # The sums over masks have at most four products per tap, cell and object.
    assert 0 < row["flops"]["propagation"] - fused < 6 * cells * 27 * 4 * 3 / 2
    # Keys from two convolutions; for each of the 6 targets, attention with vectors of 64 + 3
    # numbers, padded to 72.
    keys = cells // 4
    expected = keys * (67 * 64 * 9 + 64 * 64) + 6 * keys**2 * 2 * 72
    with_affinity = costs(TINY, SIZE, 3, [affinity, True])
    added = with_affinity["flops"]["propagation"] - row["flops"]["propagation"]
    # The rest is resizing of masks and shares.
    assert expected < added < 1.05 * expected
    assert with_affinity["literal_propagation_flops"] == literal
    others = costs(TINY, SIZE, 3, ["MODEL.MASKPROP.TRACKER", "iou"])
    assert others["flops"]["propagation"] < row["flops"]["propagation"] / 4


def test_counts_of_small_images_scale_to_large_ones():
    row = costs(FULL, SIZE, 2, ["MODEL.RPN.POST_NMS_TOPK_TEST", "7"])
    model = build_model(load_config(str(FULL), ["MODEL.DEVICE", "cpu"])).eval()
    image = torch.zeros(1, 3, *SIZE)
    assert row["input"] == "128 x 192"
    assert row["flops"]["backbone"] == flops(model.backbone, image)
    count = FlopCounter()
    with torch.no_grad():
        box = torch.tensor([[4.0, 4.0, 50.0, 40.0], [9.0, 4.0, 50.0, 70.0]])
        two_objects = count(
            lambda x: model.refinement(x, torch.ones(2, 28, 28), box, box),
            model.refinement,
            torch.zeros(3, 96, 96),
        )
    assert row["flops"]["refinement"] == two_objects
    assert row["parameters"]["all"] == sum(x.numel() for x in model.parameters())
    assert row["parameters"]["refinement"] == parameters(model.refinement)


def test_command(tmp_path, monkeypatch, capsys):
    # Resized by the config.
    small = f"--height 64 --width 64 --instances 2 --json {tmp_path / 'out.json'} --config-file"
    configs = [CONFIGS / f"moving_shapes/maskprop_tiny_{x}.yaml" for x in ("masktrack", "osmn")]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "costs", *small.split(), *map(str, configs)])
    benchmark.main()
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [x["config"] for x in rows] == ["maskprop_tiny_masktrack", "maskprop_tiny_osmn"]
    assert "| `maskprop_tiny_osmn` | 128 x 128 |" in capsys.readouterr().out
    for row in rows:
        for counts in (row["parameters"], row["flops"]):
            parts = [counts[x] for x in ("backbone", "detector", "propagation", "refinement")]
            assert counts["all"] == sum(parts) and parts[3] == 0 and min(parts[:3]) > 0
