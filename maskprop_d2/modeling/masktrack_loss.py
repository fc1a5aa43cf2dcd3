"""The loss of MaskTrack R-CNN's embedding head."""

import torch
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.embedding import EmbeddingHead
from .regions import regions_around

ROIS_PER_OBJECT = 8


class MaskTrackLoss(nn.Module):
    """Which object of a partner s does a region of the key frame t show, or is it new?

    Logits are dot products of embeddings: of regions around each ground-truth object of t, and of
    the ground-truth boxes of s. A constant logit of 0 stands for an object that is not in s. The
    loss is cross entropy, mean over the regions of the batch and their partners.
    """

    def __init__(self, weight: float):
        """``weight``: multiplier of the loss."""
        super().__init__()
        self.weight = weight

    def forward(
        self,
        head: EmbeddingHead,
        pyramid: dict[str, Tensor],
        targets: list[Instances],
        partner_targets: list[Instances],
    ) -> Tensor:
        """
        Args:
            head: the embedding head.
            pyramid: levels by name, of B key frames, then of their first partners, and so on.
            targets: the objects of each key frame, with ``gt_boxes`` and ``gt_ids``.
            partner_targets: those of each partner, in the same order.

        Returns:
            scalar
        """
        of_objects = (regions_around(x.gt_boxes.tensor, ROIS_PER_OBJECT) for x in targets)
        regions, owners = zip(*of_objects, strict=True)
        known_boxes = [x.gt_boxes.tensor for x in partner_targets]
        embeddings = head(pyramid, [*regions, *known_boxes])
        total = torch.zeros((), device=embeddings[0].device)
        clips = len(targets)
        for i, (known, y) in enumerate(zip(embeddings[clips:], partner_targets, strict=True)):
            clip = i % clips
            logits = matching_logits(embeddings[clip], known)
            same = targets[clip].gt_ids[owners[clip]][:, None] == y.gt_ids
            # Column 0 is for what is not there.
            wanted = F.pad(same, (1, 0)).float().argmax(1)
            total = total + F.cross_entropy(logits, wanted, reduction="sum")
        partners = len(partner_targets) // clips
        return total / max(1, partners * sum(len(x) for x in regions)) * self.weight


def matching_logits(found: Tensor, known: Tensor) -> Tensor:
    """(N, E) and (Y, E) embeddings -> (N, Y+1) logits; the first column is for a new object."""
    # Of such sums, 16 bits would be less than what tells objects apart.
    with torch.autocast(found.device.type, enabled=False):
        return F.pad(found @ known.T, (1, 0))
