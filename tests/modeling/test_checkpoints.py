"""Detectron2's checkpoints load into MaskProp models."""

import pytest
import torch
from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from small_models import CONFIGS, build

from maskprop_d2.engine.checkpoint import Checkpointer

HTC = "propagation.", "refinement.", "semantic_branch.", "roi_heads.mask_flow."


@pytest.mark.parametrize(
    ("zoo_config", "config_file", "options", "new", "unused"),
    [
        pytest.param(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
            "maskprop_R_50_FPN.yaml",
            [],
            ("propagation.",),
            (),
            id="Mask R-CNN",
        ),
        pytest.param(
            "Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5.yaml",
            "maskprop_R_50_FPN.yaml",
            ["MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]],
            ("propagation.",),
            (),
            id="deformable",
        ),
        pytest.param(
            "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml",
            "maskprop_HTC_R_50_FPN.yaml",
            [],
            HTC,
            (),
            id="cascade",
        ),
        pytest.param(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
            "maskprop_HTC_R_50_FPN.yaml",
            [],
            # Box regression of the cascade is class-agnostic.
            (*HTC, *(f"roi_heads.box_predictor.{stage}.bbox_pred." for stage in range(3))),
            ("roi_heads.box_predictor.bbox_pred.",),
            id="Mask R-CNN in a cascade",
        ),
    ],
)
def test_detectron2_checkpoints_load(zoo_config, config_file, options, new, unused, tmp_path):
    """Saving Detectron2's own model gives the layout of the model zoo's weights."""
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(zoo_config))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    theirs = build_model(cfg)
    torch.save({"model": theirs.state_dict()}, tmp_path / "zoo.pth")
    config_file = CONFIGS / "youtubevis_2019" / config_file
    model = build(config_file, "MODEL.ROI_HEADS.NUM_CLASSES", 80, *options)
    parts = {name: value for name, value in model.state_dict().items() if name.startswith(new)}
    found = None

    class Watched(Checkpointer):
        def _log_incompatible_keys(self, incompatible):
            nonlocal found
            found = incompatible

    checkpointer = Watched(model)
    checkpointer.load(str(tmp_path / "zoo.pth"))
    unused_names = (
        [name for name in theirs.state_dict() if name.startswith(unused)] if unused else []
    )
    assert set(found.unexpected_keys) == set(unused_names) and found.incorrect_shapes == []
    assert set(found.missing_keys) == set(checkpointer.missing) == set(parts)
    for part in new:
        assert any(name.startswith(part) for name in parts)
    loaded = model.state_dict()
    for name, value in theirs.state_dict().items():
        if name in unused_names:
            continue
        names = [name]
        if name not in loaded:
            # One head initializes all stages.
            kind, head = name.removeprefix("roi_heads.").split(".", 1)
            names = [f"roi_heads.{kind}.{stage}.{head}" for stage in range(3)]
        assert all(torch.equal(loaded[x], value) for x in names), name
