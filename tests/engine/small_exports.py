"""Small models to export, and comparisons of what they find, for the tests of exported models."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from maskprop_d2.engine import load_config
from maskprop_d2.ops.rle import decode

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs/moving_shapes"
CONFIG = CONFIGS / "maskprop_tiny.yaml"
TINY = ROOT / "demo/maskprop_tiny.pt"


def make_config(*options, config_file=CONFIG, weights=TINY):
    return load_config(str(config_file), [*options, "MODEL.WEIGHTS", str(weights)])


def save_initial_weights(cfg, folder, change=None):
    """Set ``MODEL.WEIGHTS`` to initial weights of a model, or those of the tiny model that fit.

    ``change`` may modify them first.
    """
    torch.manual_seed(0)
    weights = build_model(cfg).state_dict()
    for name, value in torch.load(TINY, weights_only=True)["model"].items():
        if name in weights and weights[name].shape == value.shape:
            weights[name] = value
    if change is not None:
        change(weights)
    torch.save({"model": weights}, folder / "weights.pth")
    cfg.MODEL.WEIGHTS = str(folder / "weights.pth")


def assert_same_tracks(a, b):
    assert a.image_size == b.image_size
    assert a.track_ids == b.track_ids and a.pred_labels == b.pred_labels
    assert a.pred_scores == pytest.approx(b.pred_scores, abs=1e-4)
    for masks_a, masks_b in zip(a.pred_masks, b.pred_masks, strict=True):
        for x, y in zip(masks_a, masks_b, strict=True):
            assert (x is None) == (y is None)
            if x is not None:
                assert (decode(x) != decode(y)).mean() <= 1e-3
