#!/usr/bin/env python3
"""ImageNet weights of torchvision's ResNets and ResNeXts as a checkpoint for Detectron2's."""

import argparse
import re
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from maskprop_d2.errors import InputError, run_command
from maskprop_d2.files import atomic_file
from maskprop_d2.weights_file import read_weights

MODELS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
)
RENAMED = (
    (r"^(conv1|bn1)\.", r"stem.\1."),
    # Stages are counted from the stem's on.
    (r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
)


def main(argv: list[str] | None = None) -> None:
    """The command: one clear line and exit status 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, help="whose weights to download")
    parser.add_argument("--weights", help="a file of torchvision's weights, instead of --model")
    parser.add_argument("--output", required=True, help="file to write, for MODEL.WEIGHTS (.pth)")
    args = parser.parse_args(argv)
    if (args.model is None) == (args.weights is None):
        parser.error("give either --model or --weights")
    run_command(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Convert, and say how to train with it."""
    weights = read_torchvision(args.weights) if args.weights else download(args.model)
    write_checkpoint(convert(weights), args.output)
    print(
        f"{args.output}: set MODEL.WEIGHTS to it, and as torchvision trains: INPUT.FORMAT RGB, "
        "MODEL.PIXEL_MEAN [123.675,116.28,103.53], MODEL.PIXEL_STD [58.395,57.12,57.375], "
        "MODEL.RESNETS.STRIDE_IN_1X1 False"
    )


def download(model: str) -> dict[str, Tensor]:
    """Torchvision's default ImageNet weights of a model."""
    return torchvision.models.get_model_weights(model).DEFAULT.get_state_dict(progress=True)


def read_torchvision(path: str) -> dict[str, Tensor]:
    """A file of torchvision's weights.

    Raises:
        InputError: if it is missing, or holds something else.
    """
    weights = read_weights(path)
    if "layer1.0.conv1.weight" not in weights:
        raise InputError(f"{path} has no weights of a ResNet of torchvision")
    return weights


def convert(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's names -> those of Detectron2's ``ResNet``, without the classifier."""
    converted = {}
    for name, value in weights.items():
        if name.startswith("fc.") or name.endswith(".num_batches_tracked"):
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        converted[name] = value
    return converted


def write_checkpoint(weights: dict[str, Tensor], output: str) -> None:
    """Written so that Detectron2 finds the place of the backbone in a model by itself."""
    path = Path(output)
    if path.suffix != ".pth":
        raise InputError(f"--output {output}: Detectron2 knows such a file by its ending, .pth")
    checkpoint = {"model": weights, "__author__": "torchvision", "matching_heuristics": True}
    with atomic_file(path) as partial:
        torch.save(checkpoint, partial)


if __name__ == "__main__":
    main()
