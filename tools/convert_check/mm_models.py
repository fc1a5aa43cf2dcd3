"""Models of mmdetection 2.x with random weights, far from their initialization."""

from typing import Any

import mmcv
import mmdet
import numpy as np
import torch
from mmcv import Config
from mmdet.models import build_detector
from torch import nn

from maskprop_d2.weights_file import read_weights

SCALES = {
    "conv_offset": 1.0,
    "fpn_convs.0.conv": 0.05,
    "fpn_convs.1.conv": 0.05,
    "fpn_convs.2.conv": 0.05,
    "fpn_convs.3.conv": 0.05,
    "rpn_cls": 1.0,
    "rpn_reg": 0.02,
    "fc_cls": 1.0,
    "fc_reg": 0.05,
    "conv_logits": 0.5,
}
"""Variance of a layer's output relative to its input (others: 2, which a ReLU halves), so that the
outputs are in the range of a trained model: offsets of about a cell, sure classes, boxes that are
refined, masks with edges."""


def load_config(name: str) -> Config:
    """A config that comes with mmdet, as ``htc/htc_r50_fpn_20e_coco``."""
    config = Config.fromfile(f"{mmdet.__path__[0]}/.mim/configs/{name}.py")
    config.model.backbone.init_cfg = None
    return config


def build(config: Config, seed: int) -> nn.Module:
    """The detector of a config with random weights."""
    torch.manual_seed(seed)
    model = build_detector(config.model).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    for name, value in model.named_parameters():
        if value.dim() == 1 and ".bn" not in name and "downsample" not in name:
            nn.init.normal_(value, std=0.1)
        elif value.dim() > 1:
            inputs = value[0].numel()
            scale = next((x for end, x in SCALES.items() if name.endswith(f"{end}.weight")), 2.0)
            nn.init.normal_(value, std=(scale / inputs) ** 0.5)
    return model


def random_image(height: int, width: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: noise on several scales."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 3, height, width)
    for cells in (4, 16, 64):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        image += nn.functional.interpolate(noise, (height, width), mode="bilinear")
    return (image * 40 + 120).clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()


def prepare(config: Config, image: np.ndarray) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """The input for an image at its own size, as the test pipeline makes it.

    Args:
        config: the model's.
        image: (H, W, 3) uint8 BGR.

    Returns:
        (1, 3, H', W') and what the model has to know about it.
    """
    norm = config.img_norm_cfg
    mean, std = np.array(norm.mean, np.float32), np.array(norm.std, np.float32)
    normalized = mmcv.imnormalize(image, mean, std, norm.to_rgb)
    padded = mmcv.impad_to_multiple(normalized, 32)
    meta = {
        "img_shape": image.shape,
        "ori_shape": image.shape,
        "pad_shape": padded.shape,
        "scale_factor": np.ones(4, np.float32),
        "flip": False,
    }
    return torch.from_numpy(padded.transpose(2, 0, 1).copy())[None], [meta]


def save(model: nn.Module, config: Config, path: str) -> dict[str, Any]:
    """Write a checkpoint as mmdetection does, and read it without its code."""
    meta = {"mmdet_version": mmdet.__version__, "config": config.pretty_text}
    torch.save({"meta": meta, "state_dict": model.state_dict()}, path)
    return read_weights(path)
