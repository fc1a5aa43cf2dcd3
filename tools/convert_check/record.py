#!/usr/bin/env python3
"""
Record what a tiny Hybrid Task Cascade of mmdetection computes, for tests/mmdetection.

ResNeXt with deformable convolutions, a few channels wide, with random weights. Needs what
compare.py needs:

    PYTHONPATH=OUTSIDE:. python tools/convert_check/record.py --output tests/mmdetection/htc.pth
"""

import argparse
from typing import Any

import compiled_operators

compiled_operators.install()

import mm_models  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

NAME = "htc/htc_x101_64x4d_fpn_dconv_c3-c5_mstrain_400_1400_16x1_20e_coco"
CHANNELS, CLASSES, SEMANTIC_CLASSES = 8, 5, 7
SIZE = (56, 90)


def main() -> None:
    """Write weights, an image and outputs to one file."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = tiny_config()
    # With few channels, for outputs in the same range.
    mm_models.SCALES.update({f"fpn_convs.{i}.conv": 2.0 for i in range(4)})
    mm_models.SCALES.update({"fc_cls": 0.1, "fc_reg": 0.05, "rpn_reg": 0.1, "conv_logits": 8.0})
    model = mm_models.build(config, args.seed)
    # Stored in 16 bits.
    model.half().float()
    image = mm_models.random_image(*SIZE, args.seed)
    with torch.inference_mode():
        outputs = run(model, config, image)
    weights = {k: v.half() for k, v in model.state_dict().items() if v.is_floating_point()}
    text = f"model = {dict(config.model)!r}\nimg_norm_cfg = {dict(config.img_norm_cfg)!r}\n"
    meta = {"mmdet_version": mm_models.mmdet.__version__, "config": text}
    contents = {
        "meta": meta,
        "shapes": {name: list(x.shape) for name, x in weights.items()},
        # In one tensor: each takes some hundred bytes.
        "weights": torch.cat([x.flatten() for x in weights.values()]),
        "image": torch.from_numpy(image),
        "outputs": outputs,
    }
    torch.save(contents, args.output)
    for name, value in outputs.items():
        print(f"{name:<24} {tuple(value.shape)}, up to {value.abs().max():.3g}")


def tiny_config() -> Any:
    """The config of the paper's network, with few channels and proposals."""
    config = mm_models.load_config(NAME)
    model = config.model
    model.backbone.update(depth=50, groups=2, base_width=1, base_channels=2)
    model.backbone.update(stem_channels=2, stage_with_dcn=(False, True, True, False))
    model.neck.update(in_channels=[8, 16, 32, 64], out_channels=CHANNELS)
    model.rpn_head.update(in_channels=CHANNELS, feat_channels=CHANNELS)
    head = model.roi_head
    for name in ("bbox_roi_extractor", "mask_roi_extractor", "semantic_roi_extractor"):
        head[name].out_channels = CHANNELS
    for box_head, mask_head in zip(head.bbox_head, head.mask_head, strict=True):
        box_head.update(in_channels=CHANNELS, fc_out_channels=8, num_classes=CLASSES)
        mask_head.update(in_channels=CHANNELS, conv_out_channels=CHANNELS, num_classes=CLASSES)
    head.semantic_head.update(
        in_channels=CHANNELS, conv_out_channels=CHANNELS, num_classes=SEMANTIC_CLASSES
    )
    model.test_cfg.rpn.max_per_img = 30
    model.test_cfg.rcnn.max_per_img = 5
    return config


def run(model: Any, config: Any, image: Any) -> dict[str, Tensor]:
    """What the model computes for an image, by name."""
    inputs, metas = mm_models.prepare(config, image)
    levels = model.extract_feat(inputs)
    head = model.roi_head
    logits, embedding = head.semantic_head(levels)
    (proposals,) = model.rpn_head.simple_test_rpn(levels, metas)
    outputs = {f"p{i}": levels[i - 2] for i in range(3, 7)}
    outputs |= {"semantic_logits": logits, "semantic_embedding": embedding, "proposals": proposals}
    recorded: dict[str, Tensor] = {}
    for stage in range(3):
        for name in ("cls", "reg"):
            getattr(head.bbox_head[stage], f"fc_{name}").register_forward_hook(
                lambda *x, name=f"{name}.{stage}": recorded.update({name: x[2]})
            )
        head.mask_head[stage].conv_logits.register_forward_hook(
            lambda *x, name=f"mask.{stage}": recorded.update({name: x[2]})
        )
    ((boxes, _),) = head.simple_test(levels, [proposals], metas)
    detections = torch.tensor([[*row, c] for c, rows in enumerate(boxes) for row in rows])
    # In the order of the masks.
    detections = detections[detections[:, 4].argsort(descending=True)]
    labels = detections[:, 5].long()
    masks = [recorded.pop(f"mask.{stage}").sigmoid() for stage in range(3)]
    mean = torch.stack(masks).mean(0)[torch.arange(len(labels)), labels]
    return {**outputs, **recorded, "detections": detections, "masks": mean}


if __name__ == "__main__":
    main()
