"""The paper's linking of clip-level tracks into video-level tracks (Sec. 4.3)."""

from abc import abstractmethod
from collections import deque

import torch
from torch import Tensor

from ..errors import InputError
from ..structures import ClipTracks, Frame, TrackedFrame
from .base import FrameNetwork, Tracker
from .matching import IdAssigner, find_divisions, match_clips, match_greedily
from .track_memory import RememberedTrack, appearance_similarity, category_factor

RETURN_SIMILARITY = 0.5
"""Similarity of appearance and categories above which a new track is the return of a hidden one."""
RETURN_FRAMES = 10
"""Age of a track in frames up to which it may turn out to be a return: objects come into view bit
by bit, and are seldom recognised in their first frame."""


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
        categories: float = 0.5,
        appearance: float = 0.0,
        memory: int = 0,
        division: float = 0.0,
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
            categories: weight w in [0, 1] of the agreement of categories (not in the paper): scores
                are multiplied by 1 - w + w * ``category_similarity``. With 1, objects of different
                categories are never linked.
            appearance: weight of ``appearance_similarity``, which is added to the score of Eq. 5
                (not in the paper). Only for methods and networks that describe appearance.
            memory: number of frames after its last detection in which a track can be continued by
                appearance alone; otherwise it ends when no clip covers it any more. An object that
                gets a new id when it comes back gets its old one as soon as it looks like it.
            division: score above which a second detection of a track shows that the track has
                divided, such as a cell: it ends, and each of both starts a new track, whose parent
                it is (not in the paper). 0: tracks do not divide.
        """
        super().__init__(network)
        if clip_radius < 1:
            raise InputError(f"clip_radius must be at least 1 for clips to overlap: {clip_radius}")
        if match not in ("all", "near"):
            raise InputError(f"match must be 'all' or 'near', not '{match}'")
        if appearance < 0 or memory < 0:
            raise InputError(f"appearance and memory must not be negative: {appearance}, {memory}")
        if division < 0 or (division and not exclusive):
            raise InputError(
                f"division must not be negative, and needs exclusive assignment: {division}"
            )
        if not 0 <= categories <= 1:
            raise InputError(f"categories is a weight from 0 to 1, not {categories}")
        self.clip_radius = clip_radius
        self._appearance_weight = appearance
        self._memory_frames = memory
        self._memory: dict[int, RememberedTrack] = {}
        self._near = match == "near"
        self._categories = categories
        self._division = division
        self._assigner = IdAssigner(threshold, exclusive)
        # The frames of the next clip, and the position of its centre among them.
        self._window: deque[Frame] = deque()
        self._center = 0
        # Earlier clips that overlap the next one, and the ids of their tracks, None for those that
        # have divided.
        self._clips: deque[tuple[ClipTracks, list[int | None]]] = deque(maxlen=2 * clip_radius)

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

    def appearance(self, frame: Frame) -> Tensor | None:
        """(N, E) unit vectors that describe what the detections of a frame look like, or None."""
        return None

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
            appearance=self.appearance(center) if self._appearance_weight else None,
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
        scores, known_ids = self._id_scores(clip)
        ids = self._assigner.assign(scores, known_ids)
        if self._division:
            self._divide(find_divisions(scores, known_ids, ids, self._division), ids)
        if self._appearance_weight and clip.appearance is not None:
            ids = self._reunite(clip, clip.appearance, ids)
        self._clips.append((clip, list(ids)))
        self._remember(clip, ids)
        return ids

    def _divide(self, mothers: dict[int, int], ids: list[int]) -> None:
        """End tracks that have divided.

        Args:
            mothers: their ids by the indices of their daughters.
            ids: of all detections; those of the daughters are replaced by new ones.
        """
        ended = set(mothers.values())
        for i, mother in mothers.items():
            if ids[i] == mother:
                ids[i] = self._assigner.new_id()
            self.parents[ids[i]] = mother
        for i, (clip, past_ids) in enumerate(self._clips):
            self._clips[i] = clip, [None if y in ended else y for y in past_ids]
        self._memory = {y: x for y, x in self._memory.items() if y not in ended}

    def _remember(self, clip: ClipTracks, ids: list[int]) -> None:
        """Update the memory with the detections of a clip, and forget tracks."""
        if clip.appearance is None:
            return
        for id_, appearance, scores in zip(ids, clip.appearance, clip.class_scores, strict=True):
            if id_ in self._memory:
                self._memory[id_].update(clip.center, appearance, scores)
            else:
                self._memory[id_] = RememberedTrack(clip.center, appearance, scores)
        oldest = clip.center - max(self._memory_frames, 2 * self.clip_radius)
        self._memory = {k: x for k, x in self._memory.items() if x.last_seen > oldest}

    def _reunite(self, clip: ClipTracks, appearance: Tensor, ids: list[int]) -> list[int]:
        """Give new tracks that look like a hidden one its id.

        Args:
            clip: a clip with N tracks.
            appearance: (N, E) unit vectors of these.
            ids: their ids.

        Returns:
            the N ids, some of them replaced.
        """
        hidden_ids = [y for y in self._hidden_ids(clip.center) if y not in ids]
        new = [i for i, y in enumerate(ids) if self._is_new(y, clip.center)]
        if not hidden_ids or not new:
            return ids
        hidden = [self._memory[y] for y in hidden_ids]
        similarity = appearance_similarity(
            appearance[new], torch.stack([x.appearance for x in hidden])
        )
        class_scores = torch.stack([x.class_scores for x in hidden])
        similarity *= category_factor(clip.class_scores[new], class_scores, self._categories)
        matches = match_greedily(similarity, similarity.new_full((len(new),), RETURN_SIMILARITY))
        old_ids = {
            ids[i]: hidden_ids[match]
            for i, match in zip(new, matches, strict=True)
            if match is not None
            and self._memory[ids[i]].first_seen > self._memory[hidden_ids[match]].last_seen
        }
        self._rename(old_ids)
        return [old_ids.get(y, y) for y in ids]

    def _covered_ids(self) -> list[int]:
        """The ids in the clips that overlap the next one."""
        return sorted({y for _, ids in self._clips for y in ids if y is not None})

    def _hidden_ids(self, center: int) -> list[int]:
        """The ids that are remembered, but not in the clips that overlap the next one."""
        covered = self._covered_ids()
        return sorted(
            y
            for y, track in self._memory.items()
            if y not in covered and center - track.last_seen <= self._memory_frames
        )

    def _is_new(self, track_id: int, center: int) -> bool:
        track = self._memory.get(track_id)
        return track is not None and center - track.first_seen <= RETURN_FRAMES

    def _rename(self, old_ids: dict[int, int]) -> None:
        """Continue tracks with new ones: their ids by those of the new ones."""
        for new, old in old_ids.items():
            track = self._memory.pop(new)
            track.class_scores = track.class_scores + self._memory[old].class_scores
            self._memory[old] = track
            self.parents.pop(new, None)
        for i, (clip, ids) in enumerate(self._clips):
            self._clips[i] = clip, [y if y is None else old_ids.get(y, y) for y in ids]

    def _id_scores(self, clip: ClipTracks) -> tuple[Tensor, list[int]]:
        """(N, Y) scores of the N tracks of a clip with each known id, and these Y ids."""
        covered_ids = self._covered_ids()
        hidden_ids = self._hidden_ids(clip.center)
        known_ids = covered_ids + hidden_ids
        num_tracks = clip.masks.shape[1]
        if not known_ids:
            return clip.masks.new_zeros(num_tracks, 0), known_ids
        scores, class_scores = self._compare_clips(clip, covered_ids)
        scores = torch.cat([scores, scores.new_zeros(num_tracks, len(hidden_ids))], dim=1)
        if clip.appearance is not None:
            known = torch.stack([self._memory[y].appearance for y in known_ids])
            similarity = appearance_similarity(clip.appearance, known)
            scores = scores + self._appearance_weight * similarity
        if self._categories:
            hidden = [self._memory[y].class_scores[None] for y in hidden_ids]
            class_scores = torch.cat([class_scores, *hidden])
            scores = scores * category_factor(clip.class_scores, class_scores, self._categories)
        return scores, known_ids

    def _compare_clips(self, clip: ClipTracks, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Compare a clip with the earlier clips that it overlaps (Eq. 5).

        Args:
            clip: a clip with N tracks.
            ids: the Y ids in the earlier clips.

        Returns:
            (N, Y) mean matching scores, and (Y, K+1) sums of class scores.
        """
        owners = [y for _, clip_ids in self._clips for y in clip_ids]
        if not ids:
            num_tracks = clip.masks.shape[1]
            return clip.masks.new_zeros(num_tracks, 0), clip.class_scores[:0]
        matches = torch.cat([match_clips(clip, past, self._near) for past, _ in self._clips], dim=1)
        membership = torch.tensor([[owner == y for y in ids] for owner in owners])
        membership = weights = membership.to(matches)
        if self._near:
            distances = [clip.center - past.center for past, ids in self._clips for _ in ids]
            weights = membership / torch.tensor(distances).to(matches)[:, None] ** 2
        class_scores = torch.cat([past.class_scores for past, _ in self._clips])
        return matches @ weights / weights.sum(0), membership.T @ class_scores
