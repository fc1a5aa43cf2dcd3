"""Weights of Detectron2's model zoo have the layout of this project's models.

docs/models.md has the table. Names and shapes are compared, without memory for the weights.
"""

from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.model_zoo import get_config_file
from detectron2.model_zoo.model_zoo import _ModelZooUrls
from detectron2.modeling import build_model

from maskprop_d2 import add_maskprop_config

PAGE = (Path(__file__).parents[2] / "docs/models.md").read_text()
# Models without a pyramid (C4, DC5) have no level for propagation, and the new baselines have no
# YAML config.
ENTRIES = [
    name
    for name in _ModelZooUrls.CONFIG_PATH_TO_URL_SUFFIX
    if "mask_rcnn" in name and "FPN" in name and "new_baselines" not in name
]
HEADS = {"StandardROIHeads": "MaskPropROIHeads", "CascadeROIHeads": "HybridTaskCascadeHeads"}
NEW = "propagation.", "roi_heads.mask_flow."


def build(cfg):
    """A model without memory for its weights."""
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "meta", ""
    with torch.device("meta"):
        return build_model(cfg)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_with_a_pyramid_loads(name):
    cfg = get_cfg()
    add_maskprop_config(cfg)
    cfg.merge_from_file(get_config_file(f"{name}.yaml"))
    weights = build(cfg).state_dict()
    cfg.MODEL.META_ARCHITECTURE = "MaskProp"
    cfg.MODEL.ROI_HEADS.NAME = HEADS[cfg.MODEL.ROI_HEADS.NAME]
    # Raises if shapes differ.
    found = build(cfg).load_state_dict(weights, strict=False)
    assert found.unexpected_keys == []
    assert all(x.startswith(NEW) for x in found.missing_keys), found.missing_keys
    assert f"`{name}`" in PAGE


def test_no_entry_is_overlooked():
    assert len(ENTRIES) == 19
