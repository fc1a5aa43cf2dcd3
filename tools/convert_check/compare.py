#!/usr/bin/env python3
r"""
Compare models of mmdetection with what `maskprop convert` makes of them, on the same weights.

Prints the largest differences of everything that they compute. Needs mmdetection 2.28 and mmcv 1.7,
without its compiled operators (compiled_operators.py), outside of the project's environment:

    echo "setuptools<70" > build.txt
    pip install --target OUTSIDE --build-constraint build.txt --no-deps \
        mmdet==2.28.2 mmcv==1.7.2 addict yapf platformdirs six terminaltables
    PYTHONPATH=OUTSIDE:. python tools/convert_check/compare.py --model htc_R_50_FPN
"""

import argparse
import tempfile
from typing import Any

import compiled_operators

compiled_operators.install()

import mm_models  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from detectron2.modeling import build_model  # noqa: E402
from detectron2.structures import Boxes, Instances  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from maskprop_d2.engine import load_config as load_our_config  # noqa: E402
from maskprop_d2.mmdetection import convert  # noqa: E402

MODELS = {
    "htc_R_50_FPN": "htc/htc_r50_fpn_20e_coco",
    "htc_R_101_FPN": "htc/htc_r101_fpn_20e_coco",
    "htc_X_101_32x4d_FPN": "htc/htc_x101_32x4d_fpn_16x1_20e_coco",
    "htc_X_101_64x4d_FPN": "htc/htc_x101_64x4d_fpn_16x1_20e_coco",
    "htc_X_101_64x4d_FPN_dcn": (
        "htc/htc_x101_64x4d_fpn_dconv_c3-c5_mstrain_400_1400_16x1_20e_coco"
    ),
}
"""Configs in ``configs/coco`` and in mmdetection."""


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="htc_R_50_FPN")
    parser.add_argument("--size", nargs=2, type=int, action="append", metavar=("H", "W"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = mm_models.load_config(MODELS[args.model])
    theirs = mm_models.build(config, args.seed)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        converted = convert(mm_models.save(theirs, config, f"{folder}/checkpoint.pth"))
        ours = build_ours(f"coco/{args.model}.yaml", converted)
        for height, width in args.size or [(320, 480), (333, 250)]:
            image = mm_models.random_image(height, width, args.seed)
            print(f"{args.model}, {height} x {width}")
            for name, value in compare(ours, theirs, config, image).items():
                print(f"  {name:<32} {value}")


def build_ours(config_file: str, converted: Any) -> nn.Module:
    """This project's model with converted weights; all of them must fit."""
    options = [x for pair in converted.keys.items() for x in pair]
    cfg = load_our_config(config_file, [*options, "MODEL.DEVICE", "cpu"])
    model = build_model(cfg).eval()
    model.load_state_dict(converted.weights)
    return model


def compare(ours: Any, theirs: Any, config: Any, image: np.ndarray) -> dict[str, str]:
    """The largest differences for an image, (H, W, 3) uint8 BGR."""
    found: dict[str, str] = {}
    size = image.shape[:2]
    inputs, metas = mm_models.prepare(config, image)
    # OpenCV's images are BGR.
    our_image = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    images = ours.preprocess_image([{"image": our_image}])
    found["input"] = difference(images.tensor, inputs)
    pyramid, levels = ours.backbone(images.tensor), theirs.extract_feat(inputs)
    for name, level in zip(pyramid, levels, strict=True):
        found[f"features {name}"] = difference(pyramid[name], level)
    logits, embedding = ours.semantic_branch(pyramid)
    their_logits, their_embedding = theirs.roi_head.semantic_head(levels)
    found["semantic logits"] = difference(logits, their_logits)
    found["semantic embedding"] = difference(embedding, their_embedding)
    pyramid["semantic"] = embedding
    (proposals,), _ = ours.proposal_generator(images, pyramid, None)
    (their_proposals,) = theirs.rpn_head.simple_test_rpn(levels, metas)
    boxes, objectness = proposals.proposal_boxes.tensor, proposals.objectness_logits.sigmoid()
    found["proposals"] = matches(boxes, objectness, their_proposals[:, :4], their_proposals[:, 4])
    # From here on with the same proposals, so that rows can be compared.
    shared = Instances(size)
    shared.proposal_boxes = Boxes(their_proposals[:, :4])
    stages = range(len(ours.roi_heads.box_predictor))
    hooked = [
        *(ours.roi_heads.box_predictor[i].cls_score for i in stages),
        *(ours.roi_heads.box_predictor[i].bbox_pred for i in stages),
        *(ours.roi_heads.mask_head[i].predictor for i in stages),
        *(theirs.roi_head.bbox_head[i].fc_cls for i in stages),
        *(theirs.roi_head.bbox_head[i].fc_reg for i in stages),
        *(theirs.roi_head.mask_head[i].conv_logits for i in stages),
    ]
    outputs: dict[nn.Module, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda m, _, output: outputs.update({m: output}))
        for module in hooked
    ]
    (detected,), _ = ours.roi_heads(images, pyramid, [shared], None)
    theirs.roi_head.simple_test(levels, [their_proposals], metas)
    names = [
        f"{x}, stage {i}" for x in ("class logits", "box deltas", "mask logits") for i in stages
    ]
    for i, name in enumerate(names):
        a, b = outputs[hooked[i]], outputs[hooked[i + len(names)]]
        found[name] = difference(a, b)
    for hook in hooks:
        hook.remove()
    (detected,) = ours([{"image": our_image}])
    ((their_boxes, their_masks),) = theirs.simple_test(inputs, metas)
    found.update(compare_detections(detected["instances"], their_boxes, their_masks))
    return found


def difference(a: Tensor, b: Tensor) -> str:
    """The largest difference of two tensors, and the largest value."""
    if a.shape != b.shape:
        return f"{tuple(a.shape)} and {tuple(b.shape)}"
    return f"{(a - b).abs().max():.1e} of {b.abs().max():.3g}" if a.numel() else "empty"


def matches(boxes: Tensor, scores: Tensor, other_boxes: Tensor, other_scores: Tensor) -> str:
    """How boxes differ from the nearest ones of another list in any order."""
    distances = (boxes[:, None] - other_boxes).abs().amax(2)
    distances = distances + (scores[:, None] - other_scores).abs()
    nearest = distances.argmin(1)
    close = distances.amin(1) < 0.1
    box_error = (boxes - other_boxes[nearest])[close].abs().max()
    score_error = (scores - other_scores[nearest])[close].abs().max()
    return (
        f"{box_error:.1e} pixels, {score_error:.1e} in scores; {len(boxes)} and "
        f"{len(other_boxes)}, {int((~close).sum())} without a partner"
    )


def compare_detections(detected: Instances, their_boxes: Any, their_masks: Any) -> dict[str, str]:
    """Compare final detections, whose classes are kept apart by a large offset."""
    rows = [(c, row) for c, found in enumerate(their_boxes) for row in found]
    boxes = torch.tensor(np.array([row[:4] for _, row in rows]))
    scores = torch.tensor(np.array([row[4] for _, row in rows]))
    offsets = torch.tensor([float(c) for c, _ in rows]) * 1e4
    ours = detected.pred_boxes.tensor.double() + detected.pred_classes[:, None] * 1e4
    theirs = boxes.double() + offsets[:, None]
    masks = [mask for found in their_masks for mask in found]
    nearest = (ours[:, None] - theirs).abs().amax(2).argmin(1)
    differing = [
        (mask.numpy() != masks[j]).mean()
        for mask, j in zip(detected.pred_masks, nearest.tolist(), strict=True)
    ]
    return {
        "detections": matches(ours, detected.scores, theirs, scores),
        "detections' masks": f"{max(differing, default=0):.1e} of the pixels differ",
        "range of scores": f"{scores.min():.3f} to {scores.max():.3f}",
    }


if __name__ == "__main__":
    main()
