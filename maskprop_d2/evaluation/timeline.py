"""What becomes of each object and each prediction of a video, frame by frame.

Pairs and switches are those that ``identity.py`` counts. What they leave over is compared once
more across categories: an object that a prediction of another category covers was seen, but
taken for something else.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .identity import AGREEMENT, FramePairs, one_to_one, pair_frames
from .overlap import frame_intersections, frame_ious
from .tracks import Track, Video

FOUND = "found"
"""An object and a prediction of its category are paired."""
WRONG_CATEGORY = "wrong category"
"""They agree but for the category, and nothing else is paired with either."""
MISSED = "missed"
"""The object is seen, and no prediction is paired with it."""
FALSE = "false"
"""The prediction is paired with no object."""
IGNORED = "ignored"
"""Nor is this one, but a crowd lies there, where nothing is counted."""
SEEN = "seen"
"""The prediction has a mask; there is no ground truth to compare it with."""


@dataclass
class Span:
    """Frames, one after the other, that have one state.

    Attributes:
        state: one of the above.
        start, end: the frames ``start .. end - 1``.
        partner: of an object the prediction, of a prediction the object, that it is paired with.
    """

    state: str
    start: int
    end: int
    partner: int | None


@dataclass
class Line:
    """A track's way through its video.

    Attributes:
        color: a number; an object has that of the prediction that is paired with it most, one to
            one, and no others have the same.
        spans: by rising frame, for the frames in which the track has a mask.
        switches: frames from which on an object is paired with another prediction than before.
    """

    color: int
    spans: list[Span]
    switches: list[int]

    def frames(self, state: str) -> int:
        """The number of frames that have a state."""
        return sum(x.end - x.start for x in self.spans if x.state == state)


@dataclass
class Timeline:
    """The lines of one video: of its objects, without crowds, and of its predictions."""

    objects: list[Line]
    predictions: list[Line]


def video_timeline(
    video: Video,
    predictions: list[Track],
    frame_pairs: dict[int, FramePairs],
    threshold: float,
) -> Timeline:
    """Follow the tracks of one video.

    Args:
        video: with its ground truth.
        predictions: P, those of its predictions that reach the threshold, by falling score.
        frame_pairs: by category id, of all its predictions.
        threshold: the least score that counts.
    """
    objects = [x for x in video.truth if not x.is_crowd]
    found, switches = _found(video, objects, predictions, frame_pairs, threshold)
    ious = frame_ious(
        video, predictions, video.truth, frame_intersections(video, predictions, video.truth)
    )
    crowd = np.array([x.is_crowd for x in video.truth], dtype=bool)
    mistaken = _mistaken(ious[:, :, ~crowd], found)
    in_crowd = (ious[:, :, crowd] >= AGREEMENT).any(2).T

    together = np.zeros((len(predictions), len(objects)))
    for partner in (found, mistaken):
        g, t = np.nonzero(partner >= 0)
        np.add.at(together, (partner[g, t], g), 1)
    color_of = dict(one_to_one(together))
    others = itertools.count(len(objects))

    object_lines = [
        Line(g, _object_spans(x, found[g], mistaken[g]), switches[g]) for g, x in enumerate(objects)
    ]
    prediction_lines = []
    for p, track in enumerate(predictions):
        spans = _prediction_spans(track, found == p, mistaken == p, in_crowd[p])
        color = color_of[p] if p in color_of else next(others)
        prediction_lines.append(Line(color, spans, []))
    return Timeline(object_lines, prediction_lines)


def seen_timeline(predictions: list[Track]) -> Timeline:
    """The lines of predictions where there is no ground truth."""
    lines = [
        Line(p, _spans((SEEN, None) if area else None for area in track.areas), [])
        for p, track in enumerate(predictions)
    ]
    return Timeline([], lines)


def _found(
    video: Video,
    objects: list[Track],
    predictions: list[Track],
    frame_pairs: dict[int, FramePairs],
    threshold: float,
) -> tuple[np.ndarray, list[list[int]]]:
    """(G, L) the prediction of its category that each object is paired with, -1 for none; and the
    frames in which each object switches."""
    found = np.full((len(objects), video.length), -1)
    switches: list[list[int]] = [[] for _ in objects]
    for category_id, pairs in frame_pairs.items():
        mine = [p for p, x in enumerate(predictions) if x.category_id == category_id]
        theirs = [g for g, x in enumerate(objects) if x.category_id == category_id]
        for t, p, g, switched in pair_frames(pairs, threshold):
            found[theirs[g], t] = mine[p]
            if switched:
                switches[theirs[g]].append(t)
    return found, switches


def _mistaken(ious: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(G, L) the prediction of another category that agrees with each object, -1 for none, among
    those that are not paired: of one category no two that agree are left.

    Args:
        ious: (L, P, G).
        found: (G, L) the pairs.
    """
    mistaken = np.full_like(found, -1)
    for t, iou in enumerate(ious):
        free = ~np.isin(np.arange(len(iou)), found[:, t])[:, None] & (found[:, t] < 0)
        table = iou * (free & (iou >= AGREEMENT))
        for p, g in one_to_one(table) if table.any() else []:
            mistaken[g, t] = p
    return mistaken


def _object_spans(track: Track, found: np.ndarray, mistaken: np.ndarray) -> list[Span]:
    def state(t: int) -> tuple[str, int | None] | None:
        if not track.areas[t]:
            return None
        if found[t] >= 0:
            return FOUND, int(found[t])
        return (WRONG_CATEGORY, int(mistaken[t])) if mistaken[t] >= 0 else (MISSED, None)

    return _spans(state(t) for t in range(len(track.areas)))


def _prediction_spans(
    track: Track, found: np.ndarray, mistaken: np.ndarray, in_crowd: np.ndarray
) -> list[Span]:
    """``found`` and ``mistaken`` are (G, L): whether an object is paired with this prediction."""

    def state(t: int) -> tuple[str, int | None] | None:
        if not track.areas[t]:
            return None
        for name, paired in ((FOUND, found), (WRONG_CATEGORY, mistaken)):
            if paired[:, t].any():
                return name, int(paired[:, t].argmax())
        return (IGNORED if in_crowd[t] else FALSE), None

    return _spans(state(t) for t in range(len(track.areas)))


def _spans(states: Iterable[tuple[str, int | None] | None]) -> list[Span]:
    """Equal states of neighbouring frames in one; None is for frames without a mask."""
    spans = []
    for key, group in itertools.groupby(enumerate(states), key=lambda x: x[1]):
        frames = [t for t, _ in group]
        if key is not None:
            spans.append(Span(key[0], frames[0], frames[-1] + 1, key[1]))
    return spans
