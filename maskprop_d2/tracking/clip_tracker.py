"""The paper's linking of clip-level tracks into video-level tracks (Sec. 4.3)."""

from abc import abstractmethod
from collections import deque

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..ops.soft_iou import pairwise_soft_iou
from ..structures import ClipTracks, Frame, TrackedFrame
from .base import FrameNetwork, Tracker
from .matching import IdAssigner


class ClipTracker(Tracker):
    """Propagates the masks of each frame to a clip around it, and links overlapping clips.

    The ids of a frame come T frames later. Methods implement ``propagate``.
    """

    def __init__(
        self,
        network: FrameNetwork,
        *,
        clip_radius: int = 6,
        threshold: float = 0.03,
        exclusive: bool = True,
        match: str = "near",
        categories: bool = True,
    ):
        """
        Args:
            clip_radius: T; a clip covers T frames on each side of its centre.
            threshold: see ``IdAssigner``; the scores are those of Eq. 5.
            exclusive: see ``IdAssigner``; the paper's Eq. 5 is not.
            match: the frames over which two clips are compared (Eq. 4), and the weights of clips
                in the score of a track (Eq. 5). "all": all frames that both clips cover, and equal
                weights (paper). "near": the frames between the two centres, to which masks are
                propagated least far, and weights of 1 / distance^2.
            categories: multiply the score of Eq. 5 by ``category_similarity`` (not in the paper).
        """
        super().__init__(network)
        if clip_radius < 1:
            raise InputError(f"clip_radius must be at least 1 for clips to overlap: {clip_radius}")
        if match not in ("all", "near"):
            raise InputError(f"match must be 'all' or 'near', not '{match}'")
        self.clip_radius = clip_radius
        self._near = match == "near"
        self._categories = categories
        self._assigner = IdAssigner(threshold, exclusive)
        # The frames of the next clip, and the position of its centre among them.
        self._window: deque[Frame] = deque()
        self._center = 0
        # Earlier clips that overlap the next one, and the ids of their tracks.
        self._clips: deque[tuple[ClipTracks, list[int]]] = deque(maxlen=2 * clip_radius)

    @abstractmethod
    def propagate(self, source: Frame, targets: list[Frame]) -> Tensor:
        """Propagate the masks of a frame to the other frames of its clip.

        Called for each frame with detections, in order.

        Args:
            source: the centre of the clip, with N detections.
            targets: the S other frames of the clip, in order.

        Returns:
            (S, N, h, w) soft masks.
        """

    def add(self, frame: Frame) -> list[TrackedFrame]:
        self._window.append(frame)
        return [self._next_clip()] if len(self._window) - self._center > self.clip_radius else []

    def finish(self) -> list[TrackedFrame]:
        return [self._next_clip() for _ in range(len(self._window) - self._center)]

    def _next_clip(self) -> TrackedFrame:
        """Build and link the clip around the centre, then move the window on by one frame."""
        center = self._window[self._center]
        clip = ClipTracks(
            center=center.index,
            start=self._window[0].index,
            masks=self._clip_masks(center),
            class_scores=center.output.class_scores,
        )
        if self._center == self.clip_radius:
            self._window.popleft()
        else:
            self._center += 1
        return TrackedFrame(center.index, self.link(clip), clip)

    def _clip_masks(self, center: Frame) -> Tensor:
        """(S, N, h, w): the detector's masks in the centre, propagated ones elsewhere."""
        masks = center.output.grid_masks
        targets = [x for x in self._window if x is not center]
        if not targets or len(masks) == 0:
            return masks.expand(len(self._window), -1, -1, -1)
        propagated = self.propagate(center, targets)
        before = self._center
        return torch.cat([propagated[:before], masks[None], propagated[before:]])

    def link(self, clip: ClipTracks) -> list[int]:
        """The ids, from 0, of the N tracks of the next clip."""
        ids = self._assigner.assign(*self._id_scores(clip))
        self._clips.append((clip, ids))
        return ids

    def _id_scores(self, clip: ClipTracks) -> tuple[Tensor, list[int]]:
        """Eq. 5: (N, Y) mean matching scores with the tracks of each known id, and these Y ids."""
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
            scores = scores * category_similarity(clip.class_scores, membership.T @ class_scores)
        return scores, known_ids


def match_clips(a: ClipTracks, b: ClipTracks, near: bool = False) -> Tensor:
    """Eq. 4: soft IoU of the tracks of two clips, averaged over the frames that both cover.

    Args:
        a, b: clips with N and M tracks that share at least one frame.
        near: use only those frames from one clip's centre to the other's.

    Returns:
        (N, M) matching scores in [0, 1].
    """
    first, last = max(a.start, b.start), min(a.frames[-1], b.frames[-1])
    if near:
        centers = sorted((a.center, b.center))
        first, last = max(first, centers[0]), min(last, centers[1])
    masks_a, masks_b = (x.masks[first - x.start : last + 1 - x.start].flatten(2) for x in (a, b))
    return pairwise_soft_iou(masks_a, masks_b).mean(0)


def category_similarity(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) cosine similarities, in [0, 1], of (N, K+1) and (M, K+1) class scores, without those
    of the background."""
    return F.normalize(a[:, :-1], dim=1) @ F.normalize(b[:, :-1], dim=1).T
