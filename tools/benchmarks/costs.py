"""Parameters of models and FLOPs per video frame, split into backbone, detector, propagation and
refinement; for propagation also those of the paper's form (``PROPAGATION.IMPL literal``, no
affinity).

FLOPs are counted by fvcore, where a multiply-add is one. In addition to fvcore's operators we count
deformable convolutions (a convolution, and 4 per sampled value), RoIAlign (4 per output value) and
the sums of the fused propagation. Element-wise operations and the selection of boxes are not
counted; ``not_counted`` lists these operators.

Each frame has ``--instances`` detections, whose masks cover a quarter of it and are propagated to
the other 2T frames of a clip, and as many proposals as the config allows. Costs proportional to
pixels, proposals or objects are counted for a small image or a single one, and multiplied."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.flop_counter import FlopCounter
from benchmarks.propagation import draw_masks
from detectron2.modeling import build_model
from detectron2.structures import Boxes
from torch import Tensor, nn

from maskprop_d2.engine import load_config
from maskprop_d2.modeling import MaskProp
from maskprop_d2.modeling.options import propagation_options
from maskprop_d2.modeling.roi_heads.semantic import EMBEDDING
from maskprop_d2.networks.crop_classifier import CropClassifier
from maskprop_d2.networks.propagation import PropagationBranch, per_frame
from maskprop_d2.networks.refinement import MaskRefinement
from maskprop_d2.tracking import MaskPropagator

CONFIGS = Path(__file__).parents[2] / "configs/youtubevis_2019"
SIDE = 64
"""Side of the small image in pixels, a multiple of all strides of the pyramid."""
CROP = 32
"""Side of the small crop for refinement."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The models and the video."""
    parser.add_argument(
        "--config-file", nargs="+", type=Path, default=sorted(CONFIGS.glob("mask*.yaml"))
    )
    parser.add_argument("--height", type=int, default=720, help="of the video, before resizing")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per config; also printed as a Markdown table."""
    print("Parameters, millions / FLOPs per frame, billions")
    print("| config | input | backbone | detector | propagation | refinement | all | literal |")
    print("| --- | --- |" + " ---: |" * 6)
    rows = []
    for config_file in args.config_file:
        row = costs(config_file, (args.height, args.width), args.instances, args.opts)
        rows.append(row)
        counts = zip(row["parameters"].values(), row["flops"].values(), strict=True)
        cells = [f"{p / 1e6:.1f} / {f / 1e9:,.1f}" for p, f in counts]
        literal = row["literal_propagation_flops"]
        cells.append(f"{literal / 1e9:,.0f}" if literal else "")
        print(f"| `{config_file.stem}` | {row['input']} | {' | '.join(cells)} |", flush=True)
    return rows


@torch.no_grad()
def costs(
    config_file: Path, video_size: tuple[int, int], instances: int, options: list[str]
) -> dict[str, Any]:
    """The row of one config, for videos of size (H, W) with ``instances`` detections per frame."""
    cfg = load_config(str(config_file), ["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cpu", *options])
    model = build_model(cfg).eval()
    parts = model.parts
    images, _ = model.frame_settings.prepare(torch.zeros(1, 3, *video_size, dtype=torch.uint8))
    height, width = images.shape[-2:]
    count = FlopCounter()
    image = torch.zeros(1, 3, SIDE, SIDE)
    pixels = height * width / SIDE**2
    proposals = cfg.MODEL.RPN.POST_NMS_TOPK_TEST
    level = model.backbone(image)[model.frame_settings.propagation_feature]
    stride = model.frame_settings.propagation_stride
    torch.manual_seed(0)
    masks = draw_masks(instances, height // stride, width // stride)
    # Other tracking methods do not propagate masks, but the network still computes the maps.
    clip = 2 * cfg.MODEL.MASKPROP.CLIP_RADIUS if cfg.MODEL.MASKPROP.TRACKER == "maskprop" else 0
    propagation = propagation_flops(count, model.propagation, level, masks, clip)
    for method in parts.get("mask_propagators", []):
        # From one frame to the next.
        propagation += propagation_flops(count, model.mask_propagator(method), level, masks, 1)
    shapes = model.backbone.output_shape()
    options = {**propagation_options(cfg, shapes), "impl": "literal", "affinity": None}
    literal = PropagationBranch(**options)
    few_cells = torch.zeros(instances, *level.shape[-2:])
    return {
        "config": config_file.stem,
        "input": f"{height} x {width}",
        "instances": instances,
        "parameters": with_sum(
            backbone=parameters(model.backbone, parts.get("stsn")),
            detector=parameters(
                model.proposal_generator,
                model.roi_heads,
                model.semantic_branch,
                parts.get("embedding"),
                parts.get("crop_classifier"),
            ),
            propagation=parameters(model.propagation, parts.get("mask_propagators")),
            refinement=parameters(parts.get("refinement")),
        ),
        "flops": with_sum(
            backbone=pixels * backbone_flops(count, model, image),
            detector=detector_flops(count, model, image, pixels, proposals, instances),
            propagation=propagation,
            refinement=instances * refinement_flops(count, parts.get("refinement")),
        ),
        "literal_propagation_flops": clip
        and pixels * propagation_flops(count, literal, level, few_cells, clip),
        "not_counted": sorted(count.not_counted),
    }


def with_sum(**costs: float) -> dict[str, float]:
    """The costs of the parts, and their sum as ``all``."""
    return {**costs, "all": sum(costs.values())}


def parameters(*modules: nn.Module | None) -> int:
    """The number of parameters of the modules that are not None."""
    return sum(p.numel() for x in modules if x is not None for p in x.parameters())


def backbone_flops(count: FlopCounter, model: MaskProp, image: Tensor) -> int:
    """The pyramid of a small image, with the supporting frames of STSN if the model has it."""
    flops = count(model.backbone.forward, model.backbone, image)
    if "stsn" in model.parts:
        pyramid, support = model.backbone(image), 2 * model.stsn.radius
        flops += count(lambda x: model.stsn(x, [x] * support), model.stsn, pyramid)
    return flops


def detector_flops(
    count: FlopCounter,
    model: MaskProp,
    image: Tensor,
    pixels: float,
    proposals: int,
    instances: int,
) -> float:
    """The detector, given the pyramid.

    Args:
        count: the counter.
        model: the model.
        image: a small image.
        pixels: the size of the frame relative to the small image.
        proposals, instances: their number in the frame.
    """
    rpn, heads = model.proposal_generator, model.roi_heads
    pyramid = model.pyramid(image)
    if model.semantic_branch is not None:
        _, pyramid[EMBEDDING] = model.semantic_branch(pyramid)
    boxes = [Boxes(torch.tensor([[4.0, 4.0, SIDE - 4.0, SIDE - 4.0]]))]
    stages = [(heads.box_head, heads.box_predictor)]
    if isinstance(heads.box_head, nn.ModuleList):
        stages = list(zip(heads.box_head, heads.box_predictor, strict=True))

    def objectness(pyramid: dict[str, Tensor]) -> Any:
        return rpn.rpn_head([pyramid[f] for f in rpn.in_features])

    def categories(pyramid: dict[str, Tensor]) -> Any:
        levels = [pyramid[f] for f in heads.box_in_features]
        return [predict(head(heads.box_pooler(levels, boxes))) for head, predict in stages]

    def masks(pyramid: dict[str, Tensor]) -> Any:
        return heads.predict_masks(pyramid, boxes, [torch.zeros(1, dtype=torch.int64)])

    flops = pixels * count(objectness, rpn, pyramid)
    flops += proposals * count(categories, heads, pyramid)
    flops += instances * count(masks, heads, pyramid)
    if model.semantic_branch is not None:
        flops += pixels * count(model.semantic_branch.forward, model.semantic_branch, pyramid)
    if "embedding" in model.parts:
        embed = partial(model.embedding, boxes=[x.tensor for x in boxes])
        flops += instances * count(embed, model.embedding, pyramid)
    if "crop_classifier" in model.parts:
        flops += instances * crop_flops(count, model.crop_classifier)
    return flops


def propagation_flops(
    count: FlopCounter,
    network: PropagationBranch | MaskPropagator,
    level: Tensor,
    masks: Tensor,
    targets: int,
) -> float:
    """The maps of a frame and the propagation of its masks.

    Args:
        count: the counter.
        network: the propagation network.
        level: a pyramid level with the same number of channels.
        masks: (N, h, w) masks.
        targets: the number of frames to propagate to.
    """
    features = torch.zeros(1, level.shape[1], *masks.shape[1:])
    (maps,) = per_frame(network.encode(features, features[:, :3]))
    to_one = count(lambda x: network(x, maps, [maps]), network, masks)
    return count(lambda x: network.encode(x, x[:, :3]), network, features) + targets * to_one


def refinement_flops(count: FlopCounter, refinement: MaskRefinement | None) -> float:
    """The mask of one object."""
    if refinement is None:
        return 0
    crops = (refinement.crop_size / CROP) ** 2
    refinement.crop_size = CROP
    return crops * crop_flops(count, refinement)


def crop_flops(count: FlopCounter, network: MaskRefinement | CropClassifier) -> int:
    """One object in a small crop."""
    box = torch.tensor([[4.0, 4.0, 28.0, 28.0]])
    image, mask = torch.zeros(3, CROP, CROP), torch.ones(1, 28, 28)
    return count(lambda x: network(x, mask, box, box), network, image)
