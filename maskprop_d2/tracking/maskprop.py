"""The paper's linking of clip-level tracks into video-level tracks (Sec. 4.3)."""

from collections import deque

import torch
from torch import Tensor

from ..ops.soft_iou import pairwise_soft_iou
from ..structures import ClipTracks
from .assignment import IdAssigner


class MaskPropTracker:
    """Matches the tracks of each clip with those of all earlier clips that it overlaps in time."""

    def __init__(self, *, clip_radius: int, threshold: float, exclusive: bool):
        """
        Args:
            clip_radius: T, at least 1.
            threshold, exclusive: see ``IdAssigner``; the scores are those of Eq. 5.
        """
        if clip_radius < 1:
            raise ValueError(f"linking needs clips that overlap: CLIP_RADIUS is {clip_radius}")
        self.clip_radius = clip_radius
        self._assigner = IdAssigner(threshold, exclusive)
        # Clips further back than 2T share no frame with the next one.
        self._clips: deque[tuple[ClipTracks, list[int]]] = deque(maxlen=2 * clip_radius)

    def step(self, clip: ClipTracks) -> list[int]:
        """See ``Tracker.step``."""
        ids = self._assigner.assign(*self._id_scores(clip))
        self._clips.append((clip, ids))
        return ids

    def _id_scores(self, clip: ClipTracks) -> tuple[Tensor, list[int]]:
        """Eq. 5: (N, Y) mean matching score with the tracks of each known id, and those ids."""
        owners = [y for _, ids in self._clips for y in ids]
        known_ids = sorted(set(owners))
        if not known_ids:
            return clip.masks.new_zeros(clip.masks.shape[1], 0), known_ids
        matches = torch.cat([match_clips(clip, past) for past, _ in self._clips], dim=1)
        membership = torch.tensor([[owner == y for y in known_ids] for owner in owners])
        membership = membership.to(matches)
        return matches @ membership / membership.sum(0), known_ids


def match_clips(a: ClipTracks, b: ClipTracks) -> Tensor:
    """Eq. 4: the soft IoU of two clips' tracks, mean over the frames that both cover.

    Args:
        a, b: clips with N and M tracks that share at least one frame.

    Returns:
        (N, M) matching scores in [0, 1].
    """
    first, last = max(a.start, b.start), min(a.frames[-1], b.frames[-1])
    masks_a, masks_b = (x.masks[first - x.start : last + 1 - x.start].flatten(2) for x in (a, b))
    return pairwise_soft_iou(masks_a, masks_b).mean(0)
