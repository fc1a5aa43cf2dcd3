"""The idea of FEELVOS (Voigtlaender et al., CVPR 2019): objects are found again by embeddings.

Kept from the paper: an embedding of each cell; global matching to the object where it was first
seen, local matching to the frame before within a window, both by the distance to the nearest
embedding, d = 1 - 2 / (1 + exp(D)); and a small head of depthwise 7 x 7 convolutions that makes a
logit of these cues for each object alone, before a softmax over the objects.

What differs: it works on the detector's pyramid, on the propagation grid, instead of a DeepLab of
its own. D is the mean, not the sum, of squared differences, so that distances do not saturate
before anything is learnt, and cues are 1 - d, so that 0 means nothing alike, also beyond the
borders. The background has no first appearance: it is matched locally, as what no track covers,
and its logit is constant. The head is smaller: two layers and 16 channels of features. It is
trained from a frame to others, where the first appearance and the frame before are the same one.
"""

import torch
from torch import Tensor, nn

from .base import Linking, TrackerFactory
from .mask_propagator import MaskPropagator
from .propagated_tracks import track_by

EMBEDDING, FEATURES, HIDDEN = 32, 16, 48
"""Channels: of the embedding, of the features that the head sees, and inside of the head."""

RADIUS = 8
"""Of the window of local matching, in cells."""

MAX_CELLS = 1024
"""So many cells of a first appearance are remembered, spread evenly (the paper's number)."""

ROWS = 16
"""Local matching takes so many rows at once, so that memory does not go with (h w)^2."""


def build(linking: Linking) -> TrackerFactory:
    """See ``build_tracker``."""
    return track_by("feelvos", linking)


class FEELVOS(MaskPropagator):
    """See the head of this file."""

    def __init__(self, in_channels: int):
        """``in_channels``: C of the pyramid level."""
        super().__init__()
        self.embedding = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels),
            nn.Conv2d(in_channels, in_channels, 1),
            nn.ReLU(),
            nn.Conv2d(in_channels, EMBEDDING, 1),
        )
        self.features = nn.Conv2d(in_channels, FEATURES, 1)
        # Beside features: the previous mask, and how alike a cell is to the object's first
        # appearance, and to the object and the background in the frame before.
        self.head = nn.Sequential(
            *_separable(FEATURES + 4, HIDDEN), *_separable(HIDDEN, HIDDEN), nn.Conv2d(HIDDEN, 1, 1)
        )

    def encode(self, features: Tensor) -> dict[str, Tensor]:
        """See ``MaskPropagator.encode``."""
        return {
            "feelvos_embedding": self.embedding(features),
            "feelvos_features": self.features(features),
        }

    def appearances(self, masks: Tensor, maps: dict[str, Tensor]) -> list[Tensor]:
        """The embeddings of each object's cells, (cells, channels)."""
        found = []
        for mask in masks > 0.5:
            cells = maps["feelvos_embedding"][:, mask].T
            found.append(cells[:: -(-len(cells) // MAX_CELLS) or 1])
        return found

    def logits(
        self,
        masks: Tensor,
        source: dict[str, Tensor],
        target: dict[str, Tensor],
        appearances: list[Tensor],
    ) -> Tensor:
        """See ``MaskPropagator.logits``."""
        # Differences of large numbers: mixed precision would round them away.
        with torch.autocast(masks.device.type, enabled=False):
            now, before = (x["feelvos_embedding"].float() for x in (target, source))
            first = match_globally(now, [x.float() for x in appearances])
            objects = masks > 0.5
            local = match_locally(now, before, torch.cat([objects, ~objects.any(0, True)]))
        background = local[-1:].expand_as(masks)
        cues = torch.stack([masks, first, local[:-1], background], dim=1)
        features = target["feelvos_features"].expand(len(masks), -1, -1, -1)
        return self.head(torch.cat([features, cues], dim=1))[:, 0]


def _separable(in_channels: int, channels: int) -> list[nn.Module]:
    """A depthwise 7 x 7 convolution and one over the channels."""
    depthwise = nn.Conv2d(in_channels, in_channels, 7, padding=3, groups=in_channels)
    return [depthwise, nn.Conv2d(in_channels, channels, 1), nn.ReLU()]


def match_globally(embedding: Tensor, objects: list[Tensor]) -> Tensor:
    """How alike each cell of a frame is to the most alike of each object's cells.

    Args:
        embedding: (channels, h, w).
        objects: for each of N objects (cells, channels), of 0 or more cells.

    Returns:
        (N, h, w) in [0, 1]; 0 for an object without cells.
    """
    height, width = embedding.shape[1:]
    if not objects:
        return embedding.new_zeros(0, height, width)
    distances = _distances(embedding.flatten(1).T, torch.cat(objects))
    of_objects = distances.split([len(x) for x in objects], dim=1)
    return _likeness(torch.stack([_nearest(x) for x in of_objects])).unflatten(1, (height, width))


def match_locally(now: Tensor, before: Tensor, members: Tensor) -> Tensor:
    """The same with cells of the frame before, at most ``RADIUS`` rows and columns away.

    Args:
        now, before: (channels, h, w) embeddings of a frame and of the one before.
        members: (M, h, w) bool, the cells of each of M objects in the frame before.

    Returns:
        (M, h, w) in [0, 1]; 0 where an object has no cell in the window.
    """
    height, width = now.shape[1:]
    y, x = (
        v.flatten()
        for v in torch.meshgrid(
            torch.arange(height, device=now.device),
            torch.arange(width, device=now.device),
            indexing="ij",
        )
    )
    nearest = []
    for top in range(0, height, ROWS):
        here = slice(top * width, (top + ROWS) * width)
        there = slice(max(top - RADIUS, 0) * width, (top + ROWS + RADIUS) * width)
        distances = _distances(now.flatten(1)[:, here].T, before.flatten(1)[:, there].T)
        far = (y[here, None] - y[there]).abs().maximum((x[here, None] - x[there]).abs()) > RADIUS
        distances = distances.masked_fill(far, torch.inf)
        cells = members.flatten(1)[:, there]
        nearest.append(torch.stack([_nearest(distances[:, m]) for m in cells]))
    return _likeness(torch.cat(nearest, dim=1)).unflatten(1, (height, width))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(P, Q) mean squared differences of (P, channels) and (Q, channels) vectors."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return (squares - 2 * a @ b.T).clamp(min=0) / a.shape[1]


def _nearest(distances: Tensor) -> Tensor:
    """(P,) least of (P, Q) distances, infinite where there is none."""
    if distances.shape[1] == 0:
        return distances.new_full((len(distances),), torch.inf)
    return distances.min(1).values


def _likeness(distances: Tensor) -> Tensor:
    """2 / (1 + exp(D)), in [0, 1]: 1 minus the paper's distance."""
    return 2 * torch.sigmoid(-distances)
