"""A converted model computes what mmdetection computed, step by step."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from recorded_checkpoint import checkpoint, recording

from maskprop_d2.engine import load_config
from maskprop_d2.mmdetection import convert

SCORES, PIXELS, PROBABILITIES = 1e-4, 0.01, 1e-3
"""Allowed differences."""


@pytest.fixture(scope="module")
def recorded():
    return recording()


@pytest.fixture(scope="module")
def model(recorded):
    converted = convert(checkpoint())
    assert converted.has_config
    options = [x for pair in converted.keys.items() for x in pair]
    options += ["MODEL.RPN.POST_NMS_TOPK_TEST", 30, "TEST.DETECTIONS_PER_IMAGE", 5]
    model = build_model(load_config("coco/Base-HTC.yaml", options)).eval()
    model.load_state_dict(converted.weights)
    return model


@pytest.fixture(scope="module")
def inputs(recorded):
    # OpenCV's images are BGR.
    return [{"image": recorded["image"].flip(2).permute(2, 0, 1)}]


@pytest.fixture(scope="module")
def pyramid(model, inputs):
    with torch.no_grad():
        images = model.preprocess_image(inputs)
        pyramid = model.backbone(images.tensor)
        logits, pyramid["semantic"] = model.semantic_branch(pyramid)
    return {**pyramid, "semantic_logits": logits}


def close(ours, theirs, tolerance):
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def test_features_and_semantic_maps_are_equal(pyramid, recorded):
    outputs = recorded["outputs"]
    for name in ("p3", "p4", "p5", "p6", "semantic_logits"):
        assert outputs[name].std() > 0.1
        close(pyramid[name], outputs[name], 1e-4)
    close(pyramid["semantic"], outputs["semantic_embedding"], 1e-4)


def test_proposals_are_equal(model, inputs, pyramid, recorded):
    expected = recorded["outputs"]["proposals"]
    with torch.no_grad():
        (found,), _ = model.proposal_generator(model.preprocess_image(inputs), pyramid, None)
    close(found.proposal_boxes.tensor, expected[:, :4], PIXELS)
    close(found.objectness_logits.sigmoid(), expected[:, 4], SCORES)


def test_each_stage_is_equal(model, pyramid, recorded):
    outputs, found, hooks = recorded["outputs"], {}, []
    for stage, predictor in enumerate(model.roi_heads.box_predictor):
        hook = predictor.register_forward_hook(lambda *x, i=stage: found.update({i: x[2]}))
        hooks.append(hook)
    proposals = Instances(tuple(recorded["image"].shape[:2]))
    proposals.proposal_boxes = Boxes(outputs["proposals"][:, :4])
    with torch.no_grad():
        model.roi_heads(None, pyramid, [proposals], None)
    for hook in hooks:
        hook.remove()
    assert len(found) == 3
    for stage, (logits, deltas) in found.items():
        assert outputs[f"cls.{stage}"].std() > 1 and outputs[f"reg.{stage}"].std() > 0.2
        close(logits, outputs[f"cls.{stage}"], 1e-4)
        close(deltas, outputs[f"reg.{stage}"], 1e-4)


def test_detections_are_equal(model, inputs, pyramid, recorded):
    """From the image to scores, boxes and masks."""
    expected, masks = recorded["outputs"]["detections"], recorded["outputs"]["masks"]
    with torch.no_grad():
        (found,) = model(inputs)
        (soft,) = model.roi_heads.predict_masks(
            pyramid, [Boxes(expected[:, :4])], [expected[:, 5].long()]
        )
    found = found["instances"]
    assert len(found) == len(expected) > 2
    close(found.pred_boxes.tensor, expected[:, :4], PIXELS)
    close(found.scores, expected[:, 4], SCORES)
    assert found.pred_classes.tolist() == expected[:, 5].tolist()
    assert masks.std() > 0.1
    close(soft, masks, PROBABILITIES)
