"""The config keys of this project for a model of mmdetection."""

from typing import Any

import torch

from ..errors import InputError

IMAGENET_MEAN, IMAGENET_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
HTC_STDS = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
_DEPTHS = {(3, 4, 6, 3): 50, (3, 4, 23, 3): 101, (3, 8, 36, 3): 152}
_ROI = {"finest_scale": [56], "featmap_strides": [[4, 8, 16, 32]]}
_CODER = {"type": ["DeltaXYWHBBoxCoder", "DeltaCoder"], "target_means": [[0, 0, 0, 0]]}
EXPECTED: dict[str, Any] = {
    "backbone": {
        "type": ["ResNet", "ResNeXt"],
        "style": ["pytorch", "caffe"],
        "dilations": [[1] * 4],
    },
    "neck": {"type": ["FPN"], "num_outs": [5]},
    "rpn_head": {
        "type": ["RPNHead"],
        "anchor_generator": {
            "type": ["AnchorGenerator"],
            "scales": [[8]],
            "ratios": [[0.5, 1, 2]],
            "strides": [[4, 8, 16, 32, 64]],
        },
        "bbox_coder": {**_CODER, "target_stds": [[1, 1, 1, 1]]},
        "loss_cls": {"use_sigmoid": [True]},
    },
    "roi_head": {
        "type": ["HybridTaskCascadeRoIHead", "StandardRoIHead"],
        "mask_info_flow": [True],
        "semantic_fusion": [["bbox", "mask"]],
        "bbox_roi_extractor": {**_ROI, "roi_layer": {"type": ["RoIAlign"], "output_size": [7]}},
        "mask_roi_extractor": {**_ROI, "roi_layer": {"type": ["RoIAlign"], "output_size": [14]}},
        "bbox_head": {"bbox_coder": _CODER, "loss_cls": {"use_sigmoid": [False]}},
        "mask_head": {"type": ["HTCMaskHead", "FCNMaskHead"]},
        "semantic_roi_extractor": {
            "roi_layer": {"type": ["RoIAlign"], "output_size": [14]},
            "featmap_strides": [[8]],
        },
        "semantic_head": {"type": ["FusedSemanticHead"], "fusion_level": [1]},
    },
}
"""What this project's models have in common with mmdetection's: the values that each setting may
have. Others can be set by keys, or follow from the shapes of the weights."""
EXPECTED_TRACKER = {
    "match_weights": {"det_score": [1], "iou": [2], "det_label": [10]},
    "num_frames_retain": [20],
}
"""The same for the tracker of MaskTrack R-CNN."""


def check_settings(model: Any, expected: Any = EXPECTED, where: str = "model") -> None:
    """Check a model's config against what this project can represent.

    Args:
        model: the config, or a part of it; settings that it lacks have these values by default.
        expected: the allowed values.
        where: name of the part.

    Raises:
        InputError: for another value.
    """
    if isinstance(expected, dict):
        # Heads and extractors of a cascade may be in a list.
        for part in model if isinstance(model, list) else [model]:
            for key, allowed in expected.items():
                if isinstance(part, dict) and part.get(key) is not None:
                    check_settings(part[key], allowed, f"{where}.{key}")
    elif model not in expected:
        raise InputError(f"{where} is {model!r}, but only {expected[0]!r} can be represented here")


def config_keys(weights: dict[str, torch.Tensor], config: dict[str, Any]) -> dict[str, Any]:
    """Keys for a detector's weights.

    Args:
        weights: under this project's names.
        config: mmdetection's config; may be empty.

    Raises:
        InputError: if there is no such model here.
    """
    model = config.get("model") or {}
    check_settings(model.get("tracker"), EXPECTED_TRACKER, "model.tracker")
    model = model.get("detector") or model
    check_settings(model)
    keys = {**_backbone_keys(weights, model.get("backbone") or {}), **_input_keys(config)}
    return {
        **keys,
        **_head_keys(weights, model.get("roi_head") or {}),
        **_semantic_keys(weights),
    }


def _backbone_keys(weights: dict[str, torch.Tensor], backbone: dict[str, Any]) -> dict[str, Any]:
    body = "backbone.bottom_up."
    blocks = tuple(_count(weights, f"{body}res{i}.", ".conv1.weight") for i in range(2, 6))
    if blocks not in _DEPTHS or f"{body}res2.0.conv3.weight" not in weights:
        raise InputError(
            f"its backbone has {blocks} blocks, but only ResNet-50, 101 and 152, and ResNeXt of "
            "these depths, can be represented here"
        )
    middle = weights[f"{body}res2.0.conv2.weight"].shape
    groups = middle[0] // middle[1]
    deformable = [f"{body}res{i}.0.conv2_offset.weight" in weights for i in range(2, 6)]
    keys = {
        "MODEL.RESNETS.DEPTH": _DEPTHS[blocks],
        "MODEL.RESNETS.NUM_GROUPS": groups,
        "MODEL.RESNETS.WIDTH_PER_GROUP": middle[0] // groups,
        "MODEL.RESNETS.STEM_OUT_CHANNELS": weights[f"{body}stem.conv1.weight"].shape[0],
        "MODEL.RESNETS.RES2_OUT_CHANNELS": weights[f"{body}res2.0.conv3.weight"].shape[0],
        "MODEL.RESNETS.STRIDE_IN_1X1": backbone.get("style") == "caffe",
        "MODEL.RESNETS.DEFORM_ON_PER_STAGE": deformable,
        "MODEL.FPN.OUT_CHANNELS": weights["backbone.fpn_lateral2.weight"].shape[0],
    }
    if any(deformable):
        dcn = backbone.get("dcn") or {}
        stage = 2 + deformable.index(True)
        number = weights[f"{body}res{stage}.0.conv2_offset.weight"].shape[0]
        modulated = str(dcn.get("type", "DCN" if number % 18 == 0 else "DCNv2")) == "DCNv2"
        keys["MODEL.RESNETS.DEFORM_MODULATED"] = modulated
        keys["MODEL.RESNETS.DEFORM_NUM_GROUPS"] = number // (27 if modulated else 18)
    return keys


def _input_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Colours and their normalization; torchvision's, if the config does not say."""
    found = (config.get("model") or {}).get("data_preprocessor")
    if found:
        # mmdetection 3.x, whose default is to do nothing.
        rgb, mean, std = found.get("bgr_to_rgb"), found.get("mean"), found.get("std")
        mean, std = (mean, std) if mean else ([0.0] * 3, [1.0] * 3)
    else:
        found = config.get("img_norm_cfg") or {}
        rgb = found.get("to_rgb", True)
        mean, std = found.get("mean", IMAGENET_MEAN), found.get("std", IMAGENET_STD)
    return {
        "INPUT.FORMAT": "RGB" if rgb else "BGR",
        "MODEL.PIXEL_MEAN": mean,
        "MODEL.PIXEL_STD": std,
    }


def _head_keys(weights: dict[str, torch.Tensor], head: dict[str, Any]) -> dict[str, Any]:
    is_cascade = "roi_heads.box_predictor.0.cls_score.weight" in weights
    first = "0." if is_cascade else ""
    num_classes = weights[f"roi_heads.box_predictor.{first}cls_score.weight"].shape[0] - 1
    mask_classes = weights[f"roi_heads.mask_head.{first}predictor.weight"].shape[0]
    regressed = weights[f"roi_heads.box_predictor.{first}bbox_pred.weight"].shape[0] // 4
    keys = {
        "MODEL.ROI_HEADS.NUM_CLASSES": num_classes,
        "MODEL.ROI_BOX_HEAD.NUM_FC": _count(weights, f"roi_heads.box_head.{first}fc", ".weight"),
        "MODEL.ROI_BOX_HEAD.FC_DIM": weights[f"roi_heads.box_head.{first}fc1.weight"].shape[0],
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": regressed == 1,
        "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": mask_classes == 1 < num_classes,
        "MODEL.ROI_MASK_HEAD.NUM_CONV": _count(
            weights, f"roi_heads.mask_head.{first}mask_fcn", ".weight"
        ),
        "MODEL.ROI_MASK_HEAD.CONV_DIM": weights[
            f"roi_heads.mask_head.{first}mask_fcn1.weight"
        ].shape[0],
    }
    if is_cascade:
        heads = head.get("bbox_head") or [{}]
        stds = [(x.get("bbox_coder") or {}).get("target_stds") for x in _as_list(heads)]
        weights_by_stage = [_box_weights(x) for x in (stds if all(stds) else HTC_STDS)]
        keys["MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS"] = weights_by_stage
    else:
        (coder,) = [x.get("bbox_coder", {}) for x in _as_list(head.get("bbox_head") or {})]
        keys["MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS"] = _box_weights(coder.get("target_stds"))
    for name, part in (("BOX", "bbox"), ("MASK", "mask")):
        (extractor, *_) = _as_list(head.get(f"{part}_roi_extractor") or {})
        layer = extractor.get("roi_layer") or {}
        samples = layer.get("sampling_ratio", layer.get("sample_num", 0))
        keys[f"MODEL.ROI_{name}_HEAD.POOLER_SAMPLING_RATIO"] = samples
        aligned = layer.get("aligned", True)
        keys[f"MODEL.ROI_{name}_HEAD.POOLER_TYPE"] = "ROIAlignV2" if aligned else "ROIAlign"
    return keys


def _semantic_keys(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    branch = "semantic_branch."
    if f"{branch}predictor.weight" not in weights:
        return {"MODEL.MASKPROP.SEMANTIC.ENABLED": False}
    levels = _count(weights, f"{branch}laterals.", ".weight")
    return {
        "MODEL.MASKPROP.SEMANTIC.ENABLED": True,
        "MODEL.MASKPROP.SEMANTIC.IN_FEATURES": [f"p{i + 2}" for i in range(levels)],
        "MODEL.MASKPROP.SEMANTIC.NUM_CONVS": _count(weights, f"{branch}convs.", ".weight"),
        "MODEL.MASKPROP.SEMANTIC.CONV_DIM": weights[f"{branch}embedding.weight"].shape[1],
        "MODEL.MASKPROP.SEMANTIC.NUM_CLASSES": weights[f"{branch}predictor.weight"].shape[0],
    }


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _box_weights(stds: list[float] | None) -> list[float]:
    """Detectron2 multiplies by what mmdetection divides by."""
    return [1 / x for x in (stds or HTC_STDS[0])]


def _count(weights: dict[str, torch.Tensor], start: str, end: str) -> int:
    return sum(name.startswith(start) and name.endswith(end) for name in weights)
