"""Repairing one kind of error in the predictions of a video, for ``diagnosis.py``.

A predicted mask shows the object, of any category, that it overlaps most in its frame, if their IoU
is at least 0.1 (as in TIDE, Bolya et al., ECCV 2020); otherwise it shows background. A track
follows the object that most of its masks show.

Letters: L frames, P predictions, G objects (no crowds), T annotations (with crowds), N tracks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .oracle import SAME_OBJECT
from .overlap import Overlaps
from .tracks import Track, Video


@dataclass(frozen=True)
class Tracks:
    """N tracks, made of masks of the predictions and of the objects.

    Attributes:
        source: (N, L) index of each mask among predictions and then objects, -1 for none.
        shows: (N, L) the object that each mask shows, -1 for none.
        category: (N,) category ids.
        score: (N,) scores.
        renamed: (N,) bool, whether the category was wrong and has been repaired.
        relabel: (N,) bool, the same for all: whether masks have the category of what they show.
    """

    source: np.ndarray
    shows: np.ndarray
    category: np.ndarray
    score: np.ndarray
    renamed: np.ndarray
    relabel: np.ndarray

    def select(self, which: Any) -> "Tracks":
        """The tracks of a mask or of indices."""
        return Tracks(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})

    def joined(self, more: list["Tracks"]) -> "Tracks":
        """These tracks and then others."""
        names = self.__dataclass_fields__
        parts = [self, *more]
        return Tracks(**{x: np.concatenate([getattr(y, x) for y in parts]) for x in names})


class Scene:
    """A video, its predictions and its objects, with the overlaps of all their masks.

    Attributes:
        truth: the T annotations.
        objects: (G,) their indices in ``truth`` that are no crowds.
        categories: (G,) category ids of the objects.
        visible: (G, L) bool, where the objects are seen.
        object_areas, prediction_areas: (G, L) and (P, L) in pixels.
        frame_ious: (L, P, G) of the masks of predictions and objects.
        tracks: the predictions as they are.
    """

    def __init__(self, video: Video, predictions: list[Track]):
        self.truth = video.truth
        self.objects = np.flatnonzero([not x.is_crowd for x in video.truth])
        self.categories = np.array([x.category_id for x in video.objects], int)
        overlaps = Overlaps(video, [*predictions, *video.objects], video.truth)
        self.object_areas = overlaps.truth_areas[self.objects]
        self.visible = self.object_areas > 0
        # A last row of zeros, for masks that are absent: index -1.
        self._areas = np.pad(overlaps.areas, ((0, 1), (0, 0)))
        self._intersections = np.pad(overlaps.intersections, ((0, 0), (0, 1), (0, 0)))
        self._truth_areas = overlaps.truth_areas.sum(1)
        number = self.first_object = len(predictions)
        self.prediction_areas = overlaps.areas[:number]
        ious = self.frame_ious = overlaps.frame_ious()[:, :number, self.objects]
        best = ious.argmax(2) if len(self.objects) else np.zeros(ious.shape[:2], int)
        seen = overlaps.areas[:number] > 0
        self.tracks = Tracks(
            np.where(seen, np.arange(number)[:, None], -1),
            np.where(seen & (ious.max(2, initial=0).T >= SAME_OBJECT), best.T, -1),
            np.array([x.category_id for x in predictions], int),
            np.array([x.score for x in predictions], float),
            np.zeros(number, bool),
            np.zeros(number, bool),
        )

    def ious(self, tracks: Tracks) -> np.ndarray:
        """(N, T) IoUs of whole tracks with the annotations."""
        t = np.arange(self.visible.shape[1])
        shared = self._intersections[t, tracks.source].sum(1)
        areas = self._areas[tracks.source, t].sum(1)[:, None] + self._truth_areas
        union = areas - shared
        return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)

    def followed(self, tracks: Tracks) -> np.ndarray:
        """(N,) the object that each track follows, -1 for none."""
        counts = (tracks.shows[..., None] == np.arange(len(self.objects))).sum(1)
        if not counts.size:
            return np.full(len(counts), -1)
        return np.where(counts.any(1), counts.argmax(1), -1)


def repair_categories(scene: Scene, tracks: Tracks) -> Tracks:
    """Give each track the category of the object that it follows."""
    right = np.append(scene.categories, 0)[tracks.shows]
    if ((tracks.shows < 0) | (right == tracks.category[:, None])).all():
        return tracks
    followed = scene.followed(tracks)
    category = np.where(followed >= 0, np.append(scene.categories, 0)[followed], tracks.category)
    renamed = tracks.renamed | (category != tracks.category)
    return replace(tracks, category=category, renamed=renamed, relabel=np.ones_like(renamed))


def repair_identities(scene: Scene, tracks: Tracks) -> Tracks:
    """Link masks by the objects that they show: in each frame and category, the mask with the best
    score of those that show an object. Background stays in the track that it was in."""
    followed = scene.followed(tracks)
    owner = np.where(
        tracks.source < 0, -1, np.where(tracks.shows < 0, followed[:, None], tracks.shows)
    )
    order = np.argsort(-tracks.score, kind="stable")
    groups = [order[tracks.category[order] == x] for x in np.unique(tracks.category)]
    if tracks.relabel.any():
        groups = [order]
    linked: list[Tracks] = []
    taken = np.zeros_like(owner, bool)
    for members in groups:
        for g in np.unique(owner[members][owner[members] >= 0]):
            belongs = owner[members] == g
            if belongs.any(1).sum() == 1 and _only(owner[members[belongs.any(1)][0]], g):
                continue  # One track, which shows nothing else.
            t = np.flatnonzero(belongs.any(0))
            # Masks that show the object come before background in tracks that follow it.
            rank = belongs[:, t].astype(int) + (tracks.shows[members] == g)[:, t]
            chosen = members[rank.argmax(0)]
            taken[chosen, t] = True
            track = _link(tracks, chosen, t)
            if tracks.relabel.any():
                track = replace(track, category=scene.categories[g : g + 1])
            linked.append(track)
    if not linked:
        return tracks
    rest = replace(
        tracks,
        source=np.where(taken, -1, tracks.source),
        shows=np.where(taken, -1, tracks.shows),
    )
    return rest.select((rest.source >= 0).any(1)).joined(linked)


def _only(owner: np.ndarray, g: int) -> bool:
    return bool(((owner == g) | (owner < 0)).all())


def _link(tracks: Tracks, chosen: np.ndarray, t: np.ndarray) -> Tracks:
    """One track, with the masks of the tracks ``chosen`` in frames ``t`` and their mean score. Its
    category is that of the first; what is left of them doubles it."""
    new = tracks.select(chosen[:1])
    source, shows = np.full_like(new.source, -1), np.full_like(new.shows, -1)
    source[0, t], shows[0, t] = tracks.source[chosen, t], tracks.shows[chosen, t]
    score = tracks.score[chosen].mean(keepdims=True)
    return replace(new, source=source, shows=shows, score=score, renamed=np.zeros(1, bool))


def repair_masks(scene: Scene, tracks: Tracks) -> Tracks:
    """Replace each mask that shows an object by the object's."""
    source = np.where(tracks.shows >= 0, scene.first_object + tracks.shows, tracks.source)
    return tracks if (source == tracks.source).all() else replace(tracks, source=source)


def remove_background(scene: Scene, tracks: Tracks) -> Tracks:
    """Remove the masks that show no object, and with them the tracks that follow none."""
    source = np.where(tracks.shows >= 0, tracks.source, -1)
    left = (source >= 0).any(1)
    if left.all() and (source == tracks.source).all():
        return tracks
    return replace(tracks, source=source).select(left)


def add_missed(scene: Scene, tracks: Tracks) -> Tracks:
    """Add the masks of objects where no track shows them: to the track that follows the object, or
    as a new track, scored best, for objects that no track shows in any frame."""
    followed = scene.followed(tracks)
    source, shows = tracks.source.copy(), tracks.shows.copy()
    new = []
    for g, visible in enumerate(scene.visible):
        if not (tracks.shows == g).any():
            if visible.any():
                new.append(_object_track(scene, g))
        elif len(followers := np.flatnonzero(followed == g)):
            right = tracks.category[followers] == scene.categories[g]
            frames = (tracks.shows[followers] == g).sum(1)
            track = followers[np.lexsort((frames, right))[-1]]
            same = tracks.category == tracks.category[track]
            missed = visible & ~(tracks.shows[same] == g).any(0) & (tracks.shows[track] < 0)
            source[track, missed], shows[track, missed] = scene.first_object + g, g
    if not new and (source == tracks.source).all():
        return tracks
    return replace(tracks, source=source, shows=shows).joined(new)


def _object_track(scene: Scene, g: int) -> Tracks:
    visible = scene.visible[g : g + 1]
    return Tracks(
        np.where(visible, scene.first_object + g, -1),
        np.where(visible, g, -1),
        scene.categories[g : g + 1],
        np.array([np.inf]),
        np.zeros(1, bool),
        np.zeros(1, bool),
    )


def remove_duplicates(scene: Scene, tracks: Tracks, renamed_only: bool = False) -> Tracks:
    """Remove the tracks of which at least half of the masks show what better tracks of the category
    show in the same frames. Better tracks have a larger IoU with the object that they follow.

    Args:
        scene, tracks: as for the others.
        renamed_only: remove no tracks but those whose category has been repaired.
    """
    if renamed_only and not tracks.renamed.any():
        return tracks
    followed = scene.followed(tracks)
    # A last column of zeros, for tracks that follow no object: index -1.
    ious = np.pad(scene.ious(tracks)[:, scene.objects], ((0, 0), (0, 1)))
    fit = ious[np.arange(len(followed)), followed]
    worse = tracks.renamed if renamed_only else np.zeros(len(fit), bool)
    # Masks that have the category of what they show are compared with all others.
    group = np.zeros_like(tracks.category) if tracks.relabel.any() else tracks.category
    covered: dict[int, np.ndarray] = {}
    keep = np.ones(len(fit), bool)
    for n in np.lexsort((-tracks.score, -fit, worse)):
        shown = tracks.shows[n] == np.arange(len(scene.objects))[:, None]
        before = covered.get(group[n], np.zeros_like(shown))
        doubled = 2 * (shown & before).sum() >= max(1, (tracks.source[n] >= 0).sum())
        if doubled and (tracks.renamed[n] or not renamed_only):
            keep[n] = False
        else:
            covered[group[n]] = before | shown
    return tracks if keep.all() else tracks.select(keep)


def repair_scores(scene: Scene, tracks: Tracks) -> Tracks:
    """Score each track by its IoU with the object of its category that it fits best; tracks that
    another one fits better come after all others."""
    ious = scene.ious(tracks)[:, scene.objects]
    ious = np.where(tracks.category[:, None] == scene.categories, ious, 0)
    if not ious.size:
        return tracks
    best = ious.argmax(1)
    first = np.arange(len(ious)) == ious.argmax(0)[best]
    value = ious[np.arange(len(ious)), best]
    return replace(tracks, score=np.where(first, value, value - 1))


# In the order in which they are applied.
REPAIRS: dict[str, Callable[[Scene, Tracks], Tracks]] = {
    "category": repair_categories,
    "identity": repair_identities,
    "mask": repair_masks,
    "background": remove_background,
    "missed": add_missed,
    "duplicate": remove_duplicates,
}
