"""What happens to each object and each prediction of a video, frame by frame.

Pairs and switches are those that ``identity.py`` counts. The objects and predictions that remain
are compared across categories: if a prediction of another category covers an object, the object
was detected but classified wrongly.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .identity import AGREEMENT, FramePairs, assign, pair_frames
from .overlap import frame_intersections, frame_ious
from .tracks import Track, Video

FOUND = "found"
"""An object and a prediction of its category are paired."""
WRONG_CATEGORY = "wrong category"
"""An object and a prediction of another category agree, and are paired with nothing else."""
MISSED = "missed"
"""The object is paired with no prediction."""
FALSE = "false"
"""The prediction is paired with no object."""
IGNORED = "ignored"
"""The prediction is paired with no object, but lies on a crowd, where nothing is counted."""
SEEN = "seen"
"""The prediction has a mask; there is no ground truth to compare it with."""


@dataclass
class Span:
    """Consecutive frames with the same state.

    Attributes:
        state: one of the above.
        start, end: the frames ``start .. end - 1``.
        partner: index of the prediction that an object is paired with, or of a prediction's object.
    """

    state: str
    start: int
    end: int
    partner: int | None


@dataclass
class Line:
    """The states of one track.

    Attributes:
        color: a number. An object and the prediction that it is most often paired with, assigned
            one to one, share it; no other tracks do.
        spans: by rising frame, for the frames in which the track has a mask.
        switches: frames in which an object is paired with another prediction than before.
    """

    color: int
    spans: list[Span]
    switches: list[int]

    def frames(self, state: str) -> int:
        """The number of frames with a state."""
        return sum(x.end - x.start for x in self.spans if x.state == state)


def video_timeline(
    video: Video,
    predictions: list[Track],
    frame_pairs: dict[int, FramePairs] | None,
    threshold: float,
) -> tuple[list[Line], list[Line]]:
    """The lines of a video's objects, without crowds, and of its predictions.

    Args:
        video: with its ground truth, if any.
        predictions: the P predictions that reach the threshold, by falling score.
        frame_pairs: of all predictions, by category id; None without ground truth.
        threshold: the score threshold.
    """
    objects = [x for x in video.truth if not x.is_crowd]
    found, switches = _pair_objects(video, objects, predictions, frame_pairs or {}, threshold)
    ious = frame_ious(
        video, predictions, video.truth, frame_intersections(video, predictions, video.truth)
    )
    crowd = np.array([x.is_crowd for x in video.truth], dtype=bool)
    confused = _pair_across_categories(ious[:, :, ~crowd], found)
    in_crowd = (ious[:, :, crowd] >= AGREEMENT).any(2).T

    number = len(predictions)
    paired_frames = np.zeros((number, len(objects)))
    for partner in (found, confused):
        g, t = np.nonzero(partner >= 0)
        np.add.at(paired_frames, (partner[g, t], g), 1)
    colors = dict(assign(paired_frames))
    other_colors = itertools.count(len(objects))

    object_lines = []
    for i, track in enumerate(objects):
        partners = {FOUND: found[i], WRONG_CATEGORY: confused[i]}
        spans = _spans(track, partners, [MISSED] * video.length)
        object_lines.append(Line(i, spans, switches[i]))
    found, confused = _inverse(found, number), _inverse(confused, number)
    prediction_lines = []
    for p, track in enumerate(predictions):
        partners = {FOUND: found[p], WRONG_CATEGORY: confused[p]}
        unpaired = SEEN if frame_pairs is None else FALSE
        spans = _spans(track, partners, [IGNORED if x else unpaired for x in in_crowd[p]])
        color = colors[p] if p in colors else next(other_colors)
        prediction_lines.append(Line(color, spans, []))
    return object_lines, prediction_lines


def _pair_objects(
    video: Video,
    objects: list[Track],
    predictions: list[Track],
    frame_pairs: dict[int, FramePairs],
    threshold: float,
) -> tuple[np.ndarray, list[list[int]]]:
    """(G, L) index of the prediction of its category that each object is paired with, -1 for none;
    and the frames in which each object switches."""
    found = np.full((len(objects), video.length), -1)
    switches: list[list[int]] = [[] for _ in objects]
    for category_id, pairs in frame_pairs.items():
        prediction_ids = [p for p, x in enumerate(predictions) if x.category_id == category_id]
        object_ids = [g for g, x in enumerate(objects) if x.category_id == category_id]
        for t, p, g, switched in pair_frames(pairs, threshold):
            found[object_ids[g], t] = prediction_ids[p]
            if switched:
                switches[object_ids[g]].append(t)
    return found, switches


def _pair_across_categories(ious: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(G, L) index of the prediction of another category that each object agrees with, -1 for none.

    Only objects and predictions that are not paired yet take part; no two of these that agree have
    the same category.

    Args:
        ious: (L, P, G).
        found: (G, L) the pairs within the categories.
    """
    confused = np.full_like(found, -1)
    for t, iou in enumerate(ious):
        free = ~np.isin(np.arange(len(iou)), found[:, t])[:, None] & (found[:, t] < 0)
        table = iou * (free & (iou >= AGREEMENT))
        for p, g in assign(table) if table.any() else []:
            confused[g, t] = p
    return confused


def _inverse(partner: np.ndarray, number: int) -> np.ndarray:
    """(G, L) prediction of each object -> (P, L) object of each of ``number`` predictions."""
    inverse = np.full((number, partner.shape[1]), -1)
    g, t = np.nonzero(partner >= 0)
    inverse[partner[g, t], t] = g
    return inverse


def _spans(track: Track, partners: dict[str, np.ndarray], otherwise: Sequence[str]) -> list[Span]:
    """Group the frames in which a track has a mask by their state.

    Args:
        track: an object or a prediction.
        partners: for each state, (L,) the partner in each frame, -1 where it is not that state.
        otherwise: the state of each of L frames without a partner.
    """

    def state(t: int) -> tuple[str, int | None] | None:
        if not track.areas[t]:
            return None
        paired = [(name, int(partner[t])) for name, partner in partners.items() if partner[t] >= 0]
        return paired[0] if paired else (otherwise[t], None)

    spans = []
    for key, group in itertools.groupby(range(len(track.areas)), key=state):
        frames = list(group)
        if key is not None:
            spans.append(Span(key[0], frames[0], frames[-1] + 1, key[1]))
    return spans
