"""Which frames show the errors of a video, for the pictures of the results page.

Missed objects, wrong categories, masks and identities are errors of objects: how bad a case is says
the recall that the object loses to the kind. Background and duplicates are errors of tracks: the
higher their score, the more they cost.

Letters: L frames, P predictions, G objects (no crowds).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .oracle import SAME_OBJECT
from .repair import Scene, remove_duplicates

MOST_CASES = 8  # Of each kind.


@dataclass(frozen=True)
class Case:
    """An error, and a frame that shows it.

    Attributes:
        kind: of error, as in ``diagnosis.py``.
        video_id: as in the file.
        frame: its index.
        object: index among the video's objects, None if it is no error of an object.
        prediction: index among the predictions that count, by category id and then falling score,
            None if the object is missed.
        cost: what the object loses of its recall, in percentage points; or the track's score.
        area: of what is shown, in pixels. Of cases that cost as much, larger ones come first.
    """

    kind: str
    video_id: int
    frame: int
    object: int | None
    prediction: int | None
    cost: float
    area: float


def find_cases(scene: Scene, video_id: int) -> list[Case]:
    """The errors of a video. Those of objects have no ``cost`` yet."""
    cases = list(_background(scene, video_id))
    cases += _duplicates(scene, video_id)
    for g in range(len(scene.objects)):
        for kind, found in (
            ("missed", _missed(scene, g)),
            ("category", _wrong_category(scene, g)),
            ("mask", _poor_mask(scene, g)),
            ("identity", _changed_identity(scene, g)),
        ):
            if found is not None:
                p, t = found
                area = float(scene.object_areas[g, t])
                cases.append(Case(kind, video_id, t, g, p, 0.0, area))
    return cases


def worst_cases(
    cases: list[Case], recall_lost: dict[str, dict[tuple[int, int], float]]
) -> list[Case]:
    """The worst cases of a kind.

    Args:
        cases: of one kind, of all videos.
        recall_lost: by kind, what each object loses, by video id and index.
    """
    priced = [
        x
        if x.kind in ("background", "duplicate") or x.object is None
        else replace(x, cost=recall_lost[x.kind][x.video_id, x.object])
        for x in cases
    ]
    priced = [x for x in priced if x.cost > 1e-9]
    return sorted(priced, key=lambda x: (-x.cost, -x.area, x.video_id, x.frame))[:MOST_CASES]


def _missed(scene: Scene, g: int) -> tuple[None, int] | None:
    """The frame without a mask of the object in which it is largest."""
    missed = scene.visible[g] & ~(scene.tracks.shows == g).any(0)
    return (None, int(np.argmax(missed * scene.object_areas[g]))) if missed.any() else None


def _wrong_category(scene: Scene, g: int) -> tuple[int, int] | None:
    """The track of another category that shows the object in most frames, where it is largest."""
    wrong = scene.tracks.category != scene.categories[g]
    return _longest(scene, g, wrong, scene.object_areas[g][None].repeat(len(wrong), 0))


def _poor_mask(scene: Scene, g: int) -> tuple[int, int] | None:
    """The track of its category that shows the object in most frames, where it fits least."""
    right = scene.tracks.category == scene.categories[g]
    return _longest(scene, g, right, 1 - scene.frame_ious[:, :, g].T)


def _longest(scene: Scene, g: int, among: np.ndarray, values: np.ndarray) -> tuple[int, int] | None:
    """Of some tracks, (P,) bool, the one that shows the object in most frames, and of these frames
    the one with the largest of the (P, L) values."""
    shown = (scene.tracks.shows == g) & among[:, None]
    if not shown.any():
        return None
    p = int(shown.sum(1).argmax())
    return p, int(np.where(shown[p], values[p], -np.inf).argmax())


def _changed_identity(scene: Scene, g: int) -> tuple[int, int] | None:
    """The first frame in which another track than before shows the object, or in which its track
    shows another object."""
    right = scene.tracks.category == scene.categories[g]
    shown = (scene.tracks.shows == g) & right[:, None]
    if not shown.any():
        return None
    main = int(shown.sum(1).argmax())
    t = np.flatnonzero(shown.any(0) & ~shown[main])
    if len(t):
        return int(shown[:, t[0]].argmax()), int(t[0])
    shows = scene.tracks.shows[main]
    t = np.flatnonzero((shows >= 0) & (shows != g))
    return (main, int(t[0])) if len(t) else None


def _background(scene: Scene, video_id: int) -> Iterator[Case]:
    """The tracks that show neither an object nor a crowd, where they are largest."""
    crowds = [i for i, x in enumerate(scene.truth) if x.is_crowd]
    on_crowd = scene.ious(scene.tracks)[:, crowds].max(1, initial=0) >= SAME_OBJECT
    for p in np.flatnonzero((scene.tracks.shows < 0).all(1) & ~on_crowd):
        areas = scene.prediction_areas[p]
        if areas.any():
            yield _track_case("background", scene, video_id, int(p), int(areas.argmax()), None)


def _duplicates(scene: Scene, video_id: int) -> Iterator[Case]:
    """The tracks of objects that better tracks show, in the first frame."""
    kept = set(remove_duplicates(scene, scene.tracks).source.max(1, initial=-1).tolist())
    followed = scene.followed(scene.tracks)
    for p in np.flatnonzero(followed >= 0):
        if p not in kept:
            t = int((scene.tracks.shows[p] == followed[p]).argmax())
            yield _track_case("duplicate", scene, video_id, int(p), t, int(followed[p]))


def _track_case(kind: str, scene: Scene, video_id: int, p: int, t: int, g: int | None) -> Case:
    score, area = float(scene.tracks.score[p]), float(scene.prediction_areas[p, t])
    return Case(kind, video_id, t, g, p, score, area)
