"""Optical flow between two images: OpenCV's DIS, or torchvision's RAFT."""

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import optical_flow

from ..errors import InputError

Flow = Callable[[np.ndarray, np.ndarray, torch.device], Tensor]
"""From images a and b, (H, W, 3) uint8 RGB, to (2, H', W') where each pixel of a is in b, less
where it is in a: x and y as shares of the images' sides. On the device that is named."""

RAFT = {
    "raft_small": (optical_flow.raft_small, optical_flow.Raft_Small_Weights.DEFAULT),
    "raft_large": (optical_flow.raft_large, optical_flow.Raft_Large_Weights.DEFAULT),
}


def build_flow(model: str, weights: str) -> Flow:
    """
    Args:
        model: "dis", "raft_small" or "raft_large".
        weights: of RAFT: a file with the model's ``state_dict``; empty: torchvision downloads its
            own, or takes them from torch's cache.

    Raises:
        InputError: for an unknown model, or weights that cannot be had.
    """
    if model == "dis":
        return dis_flow
    if model not in RAFT:
        raise InputError(f"FLOW.MODEL must be 'dis', {', '.join(map(repr, RAFT))}, not '{model}'")
    return RAFTFlow(model, weights)


def dis_flow(a: np.ndarray, b: np.ndarray, device: torch.device) -> Tensor:
    """Dense inverse search (Kroeger et al., ECCV 2016): no training, on the CPU. See ``Flow``."""
    # It matches patches of 8 pixels on a pyramid.
    grey_a, grey_b = (cv2.cvtColor(_at_least(x, 32), cv2.COLOR_RGB2GRAY) for x in (a, b))
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = dis.calc(grey_a, grey_b, np.zeros((*grey_a.shape, 2), np.float32))
    return _as_shares(torch.from_numpy(flow).permute(2, 0, 1)).to(device)


class RAFTFlow:
    """RAFT (Teed and Deng, ECCV 2020). See ``Flow``."""

    def __init__(self, model: str, weights: str):
        """See ``build_flow``."""
        build, published = RAFT[model]
        try:
            self._network = build(weights=None if weights else published, progress=False).eval()
        except (URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"the weights of {model} cannot be downloaded ({error}): get {published.url} "
                "and name the file in MODEL.MASKPROP.FLOW.WEIGHTS"
            ) from error
        if weights:
            _load(self._network, model, weights)

    @torch.no_grad()
    def __call__(self, a: np.ndarray, b: np.ndarray, device: torch.device) -> Tensor:
        """See ``Flow``."""
        # Its pyramid halves the sides 3 times, and those of its correlations 3 times more.
        pair = [torch.from_numpy(_at_least(x, 128)).permute(2, 0, 1)[None] for x in (a, b)]
        images = torch.cat(pair).to(device).float() / 127.5 - 1
        height, width = (-(-side // 8) * 8 for side in images.shape[-2:])
        images = F.interpolate(images, (height, width), mode="bilinear", antialias=True)
        self._network.to(device)
        return _as_shares(self._network(images[:1], images[1:])[-1][0])


def _load(network: nn.Module, model: str, weights: str) -> None:
    """Give the network the weights of a file.

    Raises:
        InputError: if they are none of this model.
    """
    where = f"MODEL.MASKPROP.FLOW.WEIGHTS is {weights}"
    if not Path(weights).is_file():
        raise InputError(f"{where}: there is no such file")
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    # On other files torch raises whatever it stumbles over.
    except Exception as error:
        raise InputError(f"{where}: these are no weights of {model}") from error


def _at_least(image: np.ndarray, side: int) -> np.ndarray:
    """The image, enlarged if a side is shorter than this."""
    height, width = (max(x, side) for x in image.shape[:2])
    return image if image.shape[:2] == (height, width) else cv2.resize(image, (width, height))


def _as_shares(flow: Tensor) -> Tensor:
    """(2, H', W') in pixels -> as shares of the sides."""
    return flow / flow.new_tensor([flow.shape[2], flow.shape[1]])[:, None, None]
