"""The paper's linking of clip-level tracks into video-level tracks (Sec. 4.3)."""

from collections import deque

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..ops.soft_iou import pairwise_soft_iou
from ..structures import ClipTracks
from .assignment import IdAssigner
from .base import Linking


class ClipLinker:
    """Matches the tracks of each clip with those of all earlier clips that it overlaps in time."""

    def __init__(self, linking: Linking):
        """
        Args:
            linking: of these options, ``clip_radius`` is at least 1; ``threshold`` and
                ``exclusive`` are those of ``IdAssigner``, for the scores of Eq. 5; ``match`` is
                how two clips are compared (Eq. 4), and a clip with a video-level track (Eq. 5).
                "all": over all frames that both clips cover, and as the plain mean over the
                track's clips (paper); "near": over the frames from one clip's centre to the
                other's, where masks are propagated least far, and as a mean in which a clip
                counts by the inverse square of its distance. ``categories``: whether the score
                of Eq. 5 is multiplied by how far the categories agree, the cosine of the class
                scores of clip and track (not in the paper).

        Raises:
            InputError: for other options.
        """
        if linking.clip_radius < 1:
            raise InputError(
                f"linking needs clips that overlap: CLIP_RADIUS is {linking.clip_radius}"
            )
        if linking.match not in ("all", "near"):
            raise InputError(f"LINKING.MATCH must be 'all' or 'near', not '{linking.match}'")
        self._near = linking.match == "near"
        self._categories = linking.categories
        self._assigner = IdAssigner(linking.threshold, linking.exclusive)
        # Clips further back than 2T share no frame with the next one.
        self._clips: deque[tuple[ClipTracks, list[int]]] = deque(maxlen=2 * linking.clip_radius)

    def link(self, clip: ClipTracks) -> list[int]:
        """The ids, from 0, of the N tracks of the next clip."""
        ids = self._assigner.assign(*self._id_scores(clip))
        self._clips.append((clip, ids))
        return ids

    def _id_scores(self, clip: ClipTracks) -> tuple[Tensor, list[int]]:
        """Eq. 5: (N, Y) mean matching score with the tracks of each known id, and those ids."""
        owners = [y for _, ids in self._clips for y in ids]
        known_ids = sorted(set(owners))
        if not known_ids:
            return clip.masks.new_zeros(clip.masks.shape[1], 0), known_ids
        matches = torch.cat([match_clips(clip, past, self._near) for past, _ in self._clips], dim=1)
        membership = torch.tensor([[owner == y for y in known_ids] for owner in owners])
        membership = weights = membership.to(matches)
        if self._near:
            distances = [clip.center - past.center for past, ids in self._clips for _ in ids]
            weights = membership / torch.tensor(distances).to(matches)[:, None] ** 2
        scores = matches @ weights / weights.sum(0)
        if self._categories:
            class_scores = torch.cat([past.class_scores for past, _ in self._clips])
            scores = scores * agreement(clip.class_scores, membership.T @ class_scores)
        return scores, known_ids


def agreement(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) how far the categories of two sets of objects agree: the cosine, from 0 to 1, of
    their (N, K+1) and (M, K+1) class scores without the background's."""
    return F.normalize(a[:, :-1], dim=1) @ F.normalize(b[:, :-1], dim=1).T


def match_clips(a: ClipTracks, b: ClipTracks, near: bool = False) -> Tensor:
    """Eq. 4: the soft IoU of two clips' tracks, mean over the frames that both cover.

    Args:
        a, b: clips with N and M tracks that share at least one frame.
        near: over those of them that lie between the clips' centres, the centres included.

    Returns:
        (N, M) matching scores in [0, 1].
    """
    first, last = max(a.start, b.start), min(a.frames[-1], b.frames[-1])
    if near:
        centers = sorted((a.center, b.center))
        first, last = max(first, centers[0]), min(last, centers[1])
    masks_a, masks_b = (x.masks[first - x.start : last + 1 - x.start].flatten(2) for x in (a, b))
    return pairwise_soft_iou(masks_a, masks_b).mean(0)
