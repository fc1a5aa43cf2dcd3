"""Every config builds a model that trains a step and runs on a video."""

import pytest
from small_models import CONFIGS, build, clip, compute_losses, video

from maskprop_d2.engine import load_config
from maskprop_d2.modeling import HybridTaskCascadeHeads
from maskprop_d2.modeling.meta_arch import is_trainable

# "htc_" are for inference only; those for YouTube-VIS 2021 differ from 2019 in the dataset.
MODEL_CONFIGS = sorted(
    p
    for p in CONFIGS.rglob("*.yaml")
    if not p.name.startswith(("Base-", "htc_")) and p.parent.name != "youtubevis_2021"
)


def small_options(config_file):
    """Options that make all parts of a config's model small."""
    options = load_config(str(config_file), []).MODEL
    # Without trained weights, activations would grow without bound under frozen norms.
    small = {"RESNETS.NORM": "BN"}
    if options.BACKBONE.NAME == "build_resnet_fpn_backbone":
        small.update({"FPN.OUT_CHANNELS": 32, "ROI_BOX_HEAD.FC_DIM": 64})
        small.update({"ROI_MASK_HEAD.CONV_DIM": 32, "MASKPROP.PROPAGATION.OFFSET_CHANNELS": 32})
        small.update({"MASKPROP.SEMANTIC.CONV_DIM": 32, "MASKPROP.REFINEMENT.CHANNELS": 32})
        small.update({"MASKPROP.REFINEMENT.CROP_SIZE": 24, "MASKPROP.STSN.CHANNELS": 16})
        if options.RESNETS.DEPTH >= 50:
            width = max(16 // options.RESNETS.NUM_GROUPS, 1)
            small.update({"RESNETS.DEPTH": 50, "RESNETS.WIDTH_PER_GROUP": width})
            small.update({"RESNETS.RES2_OUT_CHANNELS": 64})
    return [x for key, value in small.items() for x in (f"MODEL.{key}", value)]


@pytest.mark.parametrize("config_file", MODEL_CONFIGS, ids=lambda p: f"{p.parent.stem}-{p.stem}")
def test_every_config_trains_and_runs(config_file):
    model = build(config_file, *small_options(config_file))
    clips = [clip((10, 10, 50, 40), (30, 20, 90, 60), gone=[1]), clip((5, 5, 60, 60))]
    losses = compute_losses(model, clips)
    assert set(losses) == expected_losses(model)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    model.eval()
    # Scores of an untrained model are below the threshold.
    model.roi_heads.final_predictor.test_score_thresh = 0.0
    (output,) = model([{"frames": video(3)}])
    assert output["image_size"] == (64, 96)
    assert len(output["track_ids"]) > 0
    assert all(len(masks) == 3 for masks in output["pred_masks"])


def expected_losses(model):
    """Names of the losses of a model."""
    parts = model.parts
    names = {f"loss_{method}" for method in parts.get("mask_propagators", [])}
    if is_trainable(model.propagation):
        names.add("loss_propagation")
    if "embedding" in parts:
        names.add("loss_masktrack")
    if "crop_classifier" in parts:
        names.add("loss_crop_classifier")
    if "refinement" in parts:
        names.add("loss_refinement")
    if not is_trainable(*model.detector):
        return names
    roi_losses = {"loss_cls", "loss_box_reg", "loss_mask"}
    if isinstance(model.roi_heads, HybridTaskCascadeHeads):
        roi_losses = {f"{name}_stage{stage}" for name in roi_losses for stage in range(3)}
    names |= {"loss_rpn_cls", "loss_rpn_loc"} | roi_losses
    if model.semantic_branch is not None:
        names.add("loss_semantic")
    return names
