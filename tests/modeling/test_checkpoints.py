"""Detectron2's checkpoints load into models of this project."""

import pytest
import torch
from detectron2 import model_zoo
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from small_models import CONFIGS, build


@pytest.mark.parametrize(
    ("zoo_config", "config_file", "options", "new"),
    [
        pytest.param(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
            "maskprop_R_50_FPN.yaml",
            [],
            ("propagation.",),
            id="Mask R-CNN",
        ),
        pytest.param(
            "Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5.yaml",
            "maskprop_R_50_FPN.yaml",
            ["MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]],
            ("propagation.",),
            id="deformable",
        ),
        pytest.param(
            "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml",
            "maskprop_HTC_R_50_FPN.yaml",
            [],
            ("propagation.", "refinement.", "semantic_branch.", "roi_heads.mask_flow."),
            id="cascade",
        ),
    ],
)
def test_detectron2s_checkpoints_load(zoo_config, config_file, options, new, tmp_path):
    """The layout of the zoo's COCO weights, made by saving Detectron2's own model."""
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(zoo_config))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    theirs = build_model(cfg)
    torch.save({"model": theirs.state_dict()}, tmp_path / "zoo.pth")
    config_file = CONFIGS / "youtubevis_2019" / config_file
    model = build(config_file, "MODEL.ROI_HEADS.NUM_CLASSES", 80, *options)
    parts = {name: value for name, value in model.state_dict().items() if name.startswith(new)}
    found = None

    class Checkpointer(DetectionCheckpointer):
        def _log_incompatible_keys(self, incompatible):
            nonlocal found
            found = incompatible

    Checkpointer(model).load(str(tmp_path / "zoo.pth"))
    assert found.unexpected_keys == [] and found.incorrect_shapes == []
    assert set(found.missing_keys) == set(parts)
    for part in new:
        assert any(name.startswith(part) for name in parts)
    loaded = model.state_dict()
    for name, value in theirs.state_dict().items():
        names = [name]
        if name not in loaded:
            # One mask head for all stages.
            head = name.removeprefix("roi_heads.mask_head.")
            names = [f"roi_heads.mask_head.{stage}.{head}" for stage in range(3)]
        assert all(torch.equal(loaded[x], value) for x in names), name
