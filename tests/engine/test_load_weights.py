"""Weights without those that the tracking method needs."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from maskprop_d2.engine import build_segmenter, load_config
from maskprop_d2.errors import MissingWeightsError
from maskprop_d2.tracking import OWN_WEIGHTS

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "configs/moving_shapes/maskprop_tiny.yaml")
SHIPPED = str(ROOT / "demo/maskprop_tiny.pt")


@pytest.mark.parametrize("method", OWN_WEIGHTS)
def test_a_checkpoint_without_the_methods_network_is_refused(method):
    cfg = load_config(TINY, ["MODEL.WEIGHTS", SHIPPED, "MODEL.MASKPROP.TRACKER", method])
    with pytest.raises(MissingWeightsError) as info:
        build_segmenter(cfg)
    message = str(info.value)
    assert message.startswith(f"{SHIPPED} has no weights for the tracking")
    config_file = f"configs/moving_shapes/maskprop_tiny_{method}.yaml"
    assert config_file in message and (ROOT / config_file).is_file()
    # The config that trains it starts from the shipped detector.
    trained = load_config(str(ROOT / config_file), [])
    model = trained.MODEL
    tracker, weights = model.MASKPROP.TRACKER, str(ROOT / model.WEIGHTS)
    assert (tracker, weights) == (method, SHIPPED) and "detector" in trained.SOLVER.FROZEN


def test_a_checkpoint_with_a_methods_network_also_loads_for_other_methods(tmp_path):
    options = ["MODEL.WEIGHTS", "", "MODEL.MASKPROP.TRACKER"]
    trained = build_model(load_config(TINY, [*options, "osmn"]))
    torch.save({"model": trained.state_dict()}, tmp_path / "osmn.pth")
    for method in ("osmn", "maskprop", "iou"):
        options = ["MODEL.WEIGHTS", str(tmp_path / "osmn.pth"), "MODEL.MASKPROP.TRACKER", method]
        segmenter = build_segmenter(load_config(TINY, options))
        for name, value in segmenter.network.state_dict().items():
            assert torch.equal(value, trained.state_dict()[name]), name
