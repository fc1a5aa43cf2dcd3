#!/usr/bin/env python3
"""Convert ImageNet weights of torchvision's ResNets and ResNeXts for Detectron2's backbones."""

import argparse
import re
from pathlib import Path

import torchvision
from torch import Tensor

from maskprop_d2.errors import InputError, run_command
from maskprop_d2.weights_file import read_weights, write_weights

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
    # Detectron2 counts the stem as the first stage.
    (r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
)


def main(argv: list[str] | None = None) -> None:
    """Convert; for input that cannot be used, print one line and exit with status 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, help="download the weights of this model")
    parser.add_argument("--weights", help="a file with torchvision's weights, instead of --model")
    parser.add_argument("--output", required=True, help="the file for MODEL.WEIGHTS (.pth)")
    args = parser.parse_args(argv)
    if (args.model is None) == (args.weights is None):
        parser.error("give either --model or --weights")
    run_command(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Convert, and print the settings to train with."""
    weights = read_torchvision(args.weights) if args.weights else download(args.model)
    write_checkpoint(convert(weights), args.output)
    print(
        f"{args.output}: set MODEL.WEIGHTS to this file and, as in torchvision, INPUT.FORMAT RGB, "
        "MODEL.PIXEL_MEAN [123.675,116.28,103.53], MODEL.PIXEL_STD [58.395,57.12,57.375], "
        "MODEL.RESNETS.STRIDE_IN_1X1 False"
    )


def download(model: str) -> dict[str, Tensor]:
    """Torchvision's default ImageNet weights of a model."""
    return torchvision.models.get_model_weights(model).DEFAULT.get_state_dict(progress=True)


def read_torchvision(path: str) -> dict[str, Tensor]:
    """Read a file with torchvision's weights of a ResNet.

    Raises:
        InputError: if the file is missing or has other contents.
    """
    weights = read_weights(path)
    if "layer1.0.conv1.weight" not in weights:
        raise InputError(f"{path} does not have the weights of a torchvision ResNet")
    return weights


def convert(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights for Detectron2's ``ResNet``, and drop the classifier."""
    converted = {}
    for name, value in weights.items():
        if name.startswith("fc.") or name.endswith(".num_batches_tracked"):
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        converted[name] = value
    return converted


def write_checkpoint(weights: dict[str, Tensor], output: str) -> None:
    """Write a checkpoint whose weights Detectron2 matches with a model's backbone."""
    path = Path(output)
    if path.suffix != ".pth":
        raise InputError(f"--output {output}: Detectron2 only recognizes this format in .pth files")
    checkpoint = {"model": weights, "__author__": "torchvision", "matching_heuristics": True}
    write_weights(checkpoint, path)


if __name__ == "__main__":
    main()
