"""Parameters of models, and the FLOPs of a frame of video, split into backbone, detector,
propagation and refinement. Propagation is counted twice: as it runs (``PROPAGATION.IMPL fused``),
and as the paper writes it (``literal``).

FLOPs are fvcore's, for which a multiplication with an addition is one. Counted beside what fvcore
knows: deformable convolutions, as a convolution and 4 for each value that is sampled; RoIAlign, as
4 for each value that comes out; the sums of the fused propagation. Not counted: element-wise
operations, and what picks boxes. ``not_counted`` names the operators.

Each frame has so many detections, whose masks cover a quarter of it, and as many proposals as the
config allows. Masks go to the 2T other frames of a clip. No weights are needed. What grows with
pixels, proposals or objects is counted on a small image, or on one of them, and multiplied."""

import argparse
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from benchmarks.propagation import draw_masks
from detectron2.modeling import build_model
from detectron2.structures import Boxes
from detectron2.utils.analysis import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
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
"""Of the small image in pixels: of each level of a pyramid it has whole cells."""
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
    """A row for each config; they are printed as a table in Markdown."""
    print("Parameters, millions / FLOPs a frame, billions")
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
    """The row of one config, for videos of that size with so many detections in each frame."""
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
    # Other methods do not propagate masks, but the network makes the maps for it.
    clip = 2 * cfg.MODEL.MASKPROP.CLIP_RADIUS if cfg.MODEL.MASKPROP.TRACKER == "maskprop" else 0
    propagation = propagation_flops(count, model.propagation, level, masks, clip)
    for method in parts.get("mask_propagators", []):
        # From frame to frame.
        propagation += propagation_flops(count, model.mask_propagator(method), level, masks, 1)
    shapes = model.backbone.output_shape()
    literal = PropagationBranch(**{**propagation_options(cfg, shapes), "impl": "literal"})
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


def with_sum(**of_parts: float) -> dict[str, float]:
    """The figures of the parts, and ``all``."""
    return {**of_parts, "all": sum(of_parts.values())}


def parameters(*modules: nn.Module | None) -> int:
    """The number of parameters of those modules that are there."""
    return sum(p.numel() for x in modules if x is not None for p in x.parameters())


class FlopCounter:
    """Counts what functions do.

    Attributes:
        not_counted: names of the operators that were met and not counted.
    """

    def __init__(self) -> None:
        self.not_counted: set[str] = set()

    def __call__(self, function: Callable[..., Any], module: nn.Module, *inputs: Any) -> int:
        """FLOPs of ``function(*inputs)``, which uses the parameters of a module."""
        analysis = FlopCountAnalysis(Step(function, module), inputs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.set_op_handle(**HANDLES)
        flops = analysis.total()
        self.not_counted |= set(analysis.unsupported_ops())
        return flops


class Step(nn.Module):
    """A function as a module, which is what fvcore looks into."""

    def __init__(self, function: Callable[..., Any], module: nn.Module):
        super().__init__()
        self.function = function
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        """What the function gives."""
        return self.function(*inputs)


def backbone_flops(count: FlopCounter, model: MaskProp, image: Tensor) -> int:
    """The pyramid of a small image, with K supporting frames on each side if the model has them."""
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
    """All that finds objects in the pyramid of a frame.

    Args:
        count: what counts.
        model: whose detector it is.
        image: a small one.
        pixels: so many times as many are in the frame.
        proposals, instances: in the frame.
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
        of_boxes = partial(model.embedding, boxes=[x.tensor for x in boxes])
        flops += instances * count(of_boxes, model.embedding, pyramid)
    if "crop_classifier" in model.parts:
        flops += instances * crop_flops(count, model.crop_classifier)
    return flops


def propagation_flops(
    count: FlopCounter,
    learner: PropagationBranch | MaskPropagator,
    level: Tensor,
    masks: Tensor,
    targets: int,
) -> float:
    """The maps of a frame, and its masks, (N, h, w), propagated to so many frames; ``level``: one
    with as many channels."""
    features = torch.zeros(1, level.shape[1], *masks.shape[1:])
    (maps,) = per_frame(learner.encode(features))
    to_one = count(lambda x: learner(x, maps, [maps]), learner, masks)
    return count(learner.encode, learner, features) + targets * to_one


def refinement_flops(count: FlopCounter, refinement: MaskRefinement | None) -> float:
    """One object's mask, from a small crop."""
    if refinement is None:
        return 0
    times = (refinement.crop_size / CROP) ** 2
    refinement.crop_size = CROP
    return times * crop_flops(count, refinement)


def crop_flops(count: FlopCounter, network: MaskRefinement | CropClassifier) -> int:
    """One object, in a crop of the frame."""
    box = torch.tensor([[4.0, 4.0, 28.0, 28.0]])
    image, mask = torch.zeros(3, CROP, CROP), torch.ones(1, 28, 28)
    return count(lambda x: network(x, mask, box, box), network, image)


def deform_conv2d_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """The convolution, and four multiplications for each value that it samples."""
    x, weight, out = (get_shape(value) for value in (*inputs[:2], outputs[0]))
    samples = x[0] * x[1] * prod(weight[2:]) * prod(out[2:])
    return prod(out) * prod(weight[1:]) + 4 * samples


def matmul_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """As fvcore's, which knows no products with vectors."""
    return prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]


def roi_align_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """As fvcore counts bilinear sampling elsewhere; how many samples a value takes depends on the
    size of its box."""
    return 4 * prod(get_shape(outputs[0]))


def embedding_bag_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """A weighted sum: each index takes a row of the table."""
    table, indices = (get_shape(value) for value in inputs[:2])
    return prod(indices) * table[1]


HANDLES = {
    "aten::matmul": matmul_flops,
    "torchvision::deform_conv2d": deform_conv2d_flops,
    "torchvision::roi_align": roi_align_flops,
    "aten::embedding_bag": embedding_bag_flops,
}
