"""What happens to each object and each prediction of a video, frame by frame.

Pairs and switches are those that ``identity.py`` counts. The objects and predictions that remain
are compared across categories: if a prediction of another category covers an object, the object
was detected but classified wrongly.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from .identity import AGREEMENT, FramePairs, assign, pair_frames, split_crowds
from .overlap import Overlaps
from .tracks import Track, Video

FOUND = "found"  # An object and a prediction of its category are paired.
# An object and a prediction of another category agree, and are paired with nothing else.
WRONG_CATEGORY = "wrong category"
MISSED = "missed"  # The object is paired with no prediction.
FALSE = "false"  # The prediction is paired with no object.
# The prediction is paired with no object, but lies on a crowd, where nothing is counted.
IGNORED = "ignored"
SEEN = "seen"  # The prediction has a mask; there is no ground truth to compare it with.


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
    found, switches = _pair_objects(video, predictions, frame_pairs or {}, threshold)
    ious, in_crowd = split_crowds(Overlaps(video, predictions, video.truth), video.truth)
    confused = _pair_across_categories(ious, found)
    # (G, L) prediction of each object and, inverted, (P, L) object of each prediction.
    partners = np.maximum(found, confused)
    owners = np.full((len(predictions), video.length), -1)
    g, t = np.nonzero(partners >= 0)
    owners[partners[g, t], t] = g
    states = np.where(found >= 0, FOUND, np.where(confused >= 0, WRONG_CATEGORY, MISSED))
    unpaired = np.where(in_crowd, IGNORED, SEEN if frame_pairs is None else FALSE)
    prediction_states = unpaired.astype(states.dtype)
    prediction_states[partners[g, t], t] = states[g, t]

    paired_frames = np.zeros((len(predictions), len(video.objects)))
    np.add.at(paired_frames, (partners[g, t], g), 1)
    colors = dict(assign(paired_frames))
    other_colors = itertools.count(len(video.objects))
    object_lines = [
        Line(i, _spans(track, states[i], partners[i]), switches[i])
        for i, track in enumerate(video.objects)
    ]
    prediction_lines = []
    for p, track in enumerate(predictions):
        color = colors[p] if p in colors else next(other_colors)
        spans = _spans(track, prediction_states[p], owners[p])
        prediction_lines.append(Line(color, spans, []))
    return object_lines, prediction_lines


def _pair_objects(
    video: Video,
    predictions: list[Track],
    frame_pairs: dict[int, FramePairs],
    threshold: float,
) -> tuple[np.ndarray, list[list[int]]]:
    """(G, L) index of the prediction of its category that each object is paired with, -1 for none;
    and the frames in which each object switches."""
    found = np.full((len(video.objects), video.length), -1)
    switches: list[list[int]] = [[] for _ in video.objects]
    for category_id, pairs in frame_pairs.items():
        prediction_ids = [p for p, x in enumerate(predictions) if x.category_id == category_id]
        object_ids = [g for g, x in enumerate(video.objects) if x.category_id == category_id]
        for t, p, g, switched in pair_frames(pairs, threshold):
            found[object_ids[g], t] = prediction_ids[p]
            if switched:
                switches[object_ids[g]].append(t)
    return found, switches


def _pair_across_categories(ious: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(G, L) index of the prediction of another category that each object agrees with, -1 for none,
    from (L, P, G) IoUs and the (G, L) pairs within the categories.

    Only objects and predictions that are not paired yet take part; no two of these that agree have
    the same category.
    """
    confused = np.full_like(found, -1)
    for t, iou in enumerate(ious):
        free = ~np.isin(np.arange(len(iou)), found[:, t])[:, None] & (found[:, t] < 0)
        table = iou * (free & (iou >= AGREEMENT))
        for p, g in assign(table) if table.any() else []:
            confused[g, t] = p
    return confused


def _spans(track: Track, states: np.ndarray, partners: np.ndarray) -> list[Span]:
    """Group the frames in which a track has a mask by state and partner, both (L,)."""
    keys = list(zip(states.tolist(), partners.tolist(), strict=True))
    seen = [keys[t] if area else None for t, area in enumerate(track.areas)]
    spans = []
    for key, group in itertools.groupby(range(len(seen)), key=seen.__getitem__):
        frames = list(group)
        if key is not None:
            partner = key[1] if key[1] >= 0 else None
            spans.append(Span(key[0], frames[0], frames[-1] + 1, partner))
    return spans
