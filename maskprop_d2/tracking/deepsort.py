"""DeepSORT (Wojke et al., ICIP 2017): motion of boxes and appearance, the latest seen first."""

from collections import deque

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2
from torchvision.ops import box_iou

from ..errors import InputError
from ..structures import Frame
from .appearance import color_histograms
from .base import Linking, OnlineTracker, TrackerFactory
from .kalman import BoxFilter, to_measure

GATE = float(chi2.ppf(0.95, df=4))
"""Squared Mahalanobis distance beyond which a box is none of the track's."""

MAX_IOU_DISTANCE = 0.7
HITS_TO_CONFIRM = 3
GALLERY_SIZE = 100


def build(
    linking: Linking, *, max_age: int = 30, max_appearance_distance: float = 0.2
) -> TrackerFactory:
    """See ``build_tracker``; the options are those of ``DeepSORT``."""
    if max_age < 1:
        raise InputError(f"DEEPSORT.MAX_AGE must be at least 1, not {max_age}")
    return lambda network: DeepSORT(max_age, max_appearance_distance)


class _Track:
    """An object as it is known: its motion, the looks that it has had, and how old all that is."""

    def __init__(self, track_id: int, measured: np.ndarray, look: np.ndarray):
        self.id = track_id
        self.motion = BoxFilter(measured)
        self.gallery = deque([look], maxlen=GALLERY_SIZE)
        self.hits = 1
        self.age = 0

    @property
    def confirmed(self) -> bool:
        """Whether it has been seen often enough to be looked for by appearance."""
        return self.hits >= HITS_TO_CONFIRM

    @property
    def box(self) -> np.ndarray:
        """(4,) XYXY in pixels, where it should be."""
        x, y, aspect, height = self.motion.mean[:4]
        half_width, half_height = aspect * height / 2, height / 2
        return np.array([x - half_width, y - half_height, x + half_width, y + half_height])

    def update(self, measured: np.ndarray, look: np.ndarray) -> None:
        """It has been detected."""
        self.motion.update(measured)
        self.gallery.append(look)
        self.hits += 1
        self.age = 0


class DeepSORT(OnlineTracker):
    """Assigns detections to tracks in a cascade: those seen last come first.

    Constants are the published ones. What differs: looks are ``color_histograms`` instead of the
    vectors of a network trained on pedestrians; no detection is left out for its score; and a
    track is reported from its first detection, where the original, made for live video, waits for
    the third.
    """

    def __init__(self, max_age: int, max_appearance_distance: float):
        """
        Args:
            max_age: frames without a detection after which a confirmed track ends.
            max_appearance_distance: cosine distance to the nearest look of the gallery beyond
                which a detection is none of the track's.
        """
        self._max_age = max_age
        self._max_appearance_distance = max_appearance_distance
        self._tracks: list[_Track] = []
        self._next_id = 0

    def link(self, frame: Frame) -> list[int]:
        """See ``OnlineTracker.link``."""
        boxes = frame.output.boxes_video
        measured, looks = to_measure(boxes.double().cpu().numpy()), color_histograms(frame)
        for track in self._tracks:
            track.motion.predict()
            track.age += 1
        owners: dict[int, _Track] = {}
        for age in range(1, self._max_age + 1):
            tracks = [x for x in self._tracks if x.confirmed and x.age == age]
            costs = np.array([self._appearance_costs(x, measured, looks) for x in tracks])
            self._match(tracks, costs, self._max_appearance_distance, owners)
        # What has just been seen may have changed its looks; what is new has hardly any.
        matched = {x.id for x in owners.values()}
        rest = [x for x in self._tracks if x.id not in matched and (not x.confirmed or x.age == 1)]
        expected = boxes.new_tensor(np.array([x.box for x in rest]).reshape(-1, 4))
        overlaps = box_iou(expected, boxes).double().cpu().numpy()
        self._match(rest, 1 - overlaps, MAX_IOU_DISTANCE, owners)
        return self._update(measured, looks, owners)

    def _appearance_costs(
        self, track: _Track, measured: np.ndarray, looks: np.ndarray
    ) -> np.ndarray:
        """(N,) cosine distances, infinite where the track cannot be by its motion."""
        distances = 1 - (np.stack(track.gallery) @ looks.T).max(0)
        return np.where(track.motion.distances(measured) > GATE, np.inf, distances)

    @staticmethod
    def _match(
        tracks: list[_Track], costs: np.ndarray, limit: float, owners: dict[int, _Track]
    ) -> None:
        """Add to ``owners``, by detection, the tracks that match one of those that are left.

        Args:
            tracks: the tracks in question.
            costs: (number of tracks, N).
            limit: highest cost of a match.
            owners: the tracks of the detections that are taken.
        """
        if not tracks:
            return
        left = [i for i in range(costs.shape[1]) if i not in owners]
        # What cannot match must not push aside what does.
        costs = np.where(costs[:, left] > limit, limit + 1e-5, costs[:, left])
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] <= limit:
                owners[left[column]] = tracks[row]

    def _update(
        self, measured: np.ndarray, looks: np.ndarray, owners: dict[int, _Track]
    ) -> list[int]:
        """Renew, begin and end tracks; gives the ids of the N detections."""
        ids = []
        for i, (box, look) in enumerate(zip(measured, looks, strict=True)):
            if i in owners:
                owners[i].update(box, look)
            else:
                owners[i] = _Track(self._next_id, box, look)
                self._tracks.append(owners[i])
                self._next_id += 1
            ids.append(owners[i].id)
        self._tracks = [x for x in self._tracks if x.age <= (self._max_age if x.confirmed else 0)]
        return ids
