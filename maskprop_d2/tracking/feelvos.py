"""
The idea of FEELVOS (Voigtlaender et al., CVPR 2019): objects are found again by pixel embeddings.

Kept from the paper: an embedding of each cell; global matching with the object's first frame and
local matching with the previous frame within a window, both by the distance to the nearest
embedding, d = 1 - 2 / (1 + exp(D)); and a small head of depthwise 7 x 7 convolutions that computes
a logit from these cues for each object alone, before a softmax over the objects.

Differences: it works on the detector's pyramid instead of its own DeepLab. D is the mean, not the
sum, of squared differences, so that distances are not saturated at the start of training, and cues
are 1 - d, so that 0 means no similarity, also beyond the borders. The background, the cells that no
track covers, is only matched locally, and its logit is constant. The head is smaller. Training is
on pairs of frames, where the first frame is also the previous one.
"""

import torch
from torch import Tensor, nn

from .base import Maps, MaskPropagator
from .propagation_tracker import PropagationTracker

# Channels of the embedding, of the features that the head sees, and of the head's layers.
EMBEDDING, FEATURES, HIDDEN = 32, 16, 48
RADIUS = 8  # Radius of the window of local matching, in cells.
MAX_CELLS = 1024  # Largest number of cells in a template, spread evenly (the paper's number).
ROWS = 16  # Rows that are matched locally at once: memory does not grow with (h w)^2.


class FEELVOSTracker(PropagationTracker):
    """Tracks by detection over masks that ``FEELVOS`` propagates."""

    method = "feelvos"


class FEELVOS(MaskPropagator):
    """The network: embeddings, features and a head. Templates are the embeddings of cells."""

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
        # Beside features: the previous mask, and the similarity of a cell to the object's template,
        # and to the object and the background in the previous frame.
        self.head = nn.Sequential(
            *_separable(FEATURES + 4, HIDDEN), *_separable(HIDDEN, HIDDEN), nn.Conv2d(HIDDEN, 1, 1)
        )

    def encode(self, features: Tensor, colors: Tensor) -> dict[str, Tensor]:
        return {
            "feelvos_embedding": self.embedding(features),
            "feelvos_features": self.features(features),
        }

    def templates(self, masks: Tensor, maps: Maps) -> list[Tensor]:
        """For each object the (cells, channels) embeddings of its cells."""
        templates = []
        for mask in masks > 0.5:
            cells = maps["feelvos_embedding"][:, mask].T
            templates.append(cells[:: -(-len(cells) // MAX_CELLS) or 1])
        return templates

    def logits(self, masks: Tensor, source: Maps, target: Maps, templates: list[Tensor]) -> Tensor:
        # In full precision: distances are small differences of large numbers.
        with torch.autocast(masks.device.type, enabled=False):
            now, before = (x["feelvos_embedding"].float() for x in (target, source))
            first = match_globally(now, [x.float() for x in templates])
            objects = masks > 0.5
            local = match_locally(now, before, torch.cat([objects, ~objects.any(0, True)]))
        background = local[-1:].expand_as(masks)
        cues = torch.stack([masks, first, local[:-1], background], dim=1)
        features = target["feelvos_features"].expand(len(masks), -1, -1, -1)
        return self.head(torch.cat([features, cues], dim=1))[:, 0]


def _separable(in_channels: int, channels: int) -> list[nn.Module]:
    """A depthwise 7 x 7 convolution, a 1 x 1 convolution and a ReLU."""
    depthwise = nn.Conv2d(in_channels, in_channels, 7, padding=3, groups=in_channels)
    return [depthwise, nn.Conv2d(in_channels, channels, 1), nn.ReLU()]


def match_globally(embedding: Tensor, objects: list[Tensor]) -> Tensor:
    """Similarity of each cell of a frame to the most similar cell of each template.

    Args:
        embedding: (channels, h, w) embedding of the frame.
        objects: for each of N objects the (cells, channels) embeddings of 0 or more cells.

    Returns:
        (N, h, w) in [0, 1]; 0 for an object without cells.
    """
    height, width = embedding.shape[1:]
    if not objects:
        return embedding.new_zeros(0, height, width)
    distances = _distances(embedding.flatten(1).T, torch.cat(objects))
    per_object = distances.split([len(x) for x in objects], dim=1)
    nearest = torch.stack([_nearest(x) for x in per_object])
    return _similarity(nearest).unflatten(1, (height, width))


def match_locally(now: Tensor, before: Tensor, members: Tensor) -> Tensor:
    """The same with cells of the previous frame, at most ``RADIUS`` rows and columns away.

    Args:
        now, before: (channels, h, w) embeddings of a frame and of the previous one.
        members: (M, h, w) bool, the cells of each of M objects in the previous frame.

    Returns:
        (M, h, w) in [0, 1]; 0 where the window has no cell of the object.
    """
    height, width = now.shape[1:]
    cells = torch.cartesian_prod(torch.arange(height), torch.arange(width)).to(now)
    nearest = []
    for top in range(0, height, ROWS):
        here = slice(top * width, (top + ROWS) * width)
        there = slice(max(top - RADIUS, 0) * width, (top + ROWS + RADIUS) * width)
        distances = _distances(now.flatten(1)[:, here].T, before.flatten(1)[:, there].T)
        far = torch.cdist(cells[here], cells[there], p=torch.inf) > RADIUS
        distances = distances.masked_fill(far, torch.inf)
        per_object = [_nearest(distances[:, m]) for m in members.flatten(1)[:, there]]
        nearest.append(torch.stack(per_object))
    return _similarity(torch.cat(nearest, dim=1)).unflatten(1, (height, width))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(P, Q) mean squared differences of (P, channels) and (Q, channels) vectors."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return (squares - 2 * a @ b.T).clamp(min=0) / a.shape[1]


def _nearest(distances: Tensor) -> Tensor:
    """(P,) minima of (P, Q) distances, infinite for Q = 0."""
    if distances.shape[1] == 0:
        return distances.new_full((len(distances),), torch.inf)
    return distances.min(1).values


def _similarity(distances: Tensor) -> Tensor:
    """2 / (1 + exp(D)), in [0, 1]: 1 minus the paper's distance."""
    return 2 * torch.sigmoid(-distances)
