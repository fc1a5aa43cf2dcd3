"""DeepSORT (Wojke et al., ICIP 2017): box motion and appearance, recently seen tracks first."""

from collections import deque
from itertools import count

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import chdtri
from torchvision.ops import box_iou

from ..errors import InputError
from ..structures import Frame
from .base import FrameNetwork, OnlineTracker
from .kalman import BoxFilter, to_measurements
from .matching import color_histograms

# Squared Mahalanobis distance above which a box does not belong to a track.
GATE = float(chdtri(4, 0.05))
MAX_IOU_DISTANCE = 0.7
HITS_TO_CONFIRM = 3
GALLERY_SIZE = 100


class _Track:
    """An object with its number of detections (``hits``) and frames since the last (``age``)."""

    def __init__(self, track_id: int, measured: np.ndarray, appearance: np.ndarray):
        self.id = track_id
        self.motion = BoxFilter(measured)
        self.gallery = deque([appearance], maxlen=GALLERY_SIZE)
        self.hits = 1
        self.age = 0

    @property
    def confirmed(self) -> bool:
        """Whether it was detected often enough to be matched by appearance."""
        return self.hits >= HITS_TO_CONFIRM

    @property
    def box(self) -> np.ndarray:
        """(4,) predicted XYXY box in pixels."""
        x, y, aspect, height = self.motion.mean[:4]
        half_width, half_height = aspect * height / 2, height / 2
        return np.array([x - half_width, y - half_height, x + half_width, y + half_height])

    def update(self, measured: np.ndarray, appearance: np.ndarray) -> None:
        """Add a detection."""
        self.motion.update(measured)
        self.gallery.append(appearance)
        self.hits += 1
        self.age = 0


class DeepSORTTracker(OnlineTracker):
    """Assigns detections to tracks in a cascade, the most recently seen tracks first.

    Constants are the published ones. Differences: appearance is ``color_histograms`` instead of the
    features of a network trained on pedestrians; detections of all scores are used; and a track
    counts from its first detection, where the original, made for live video, waits for the third.
    """

    def __init__(
        self, network: FrameNetwork, *, max_age: int = 30, max_appearance_distance: float = 0.2
    ):
        """
        Args:
            max_age: frames without a detection after which a confirmed track ends.
            max_appearance_distance: cosine distance to the nearest vector of the gallery above
                which a detection does not belong to a track.
        """
        super().__init__(network)
        if max_age < 1:
            raise InputError(f"max_age must be at least 1, not {max_age}")
        self._max_age = max_age
        self._max_appearance_distance = max_appearance_distance
        self._tracks: list[_Track] = []
        self._new_ids = count()

    def link(self, frame: Frame) -> list[int]:
        boxes = frame.output.boxes_video
        measured = to_measurements(boxes.double().cpu().numpy())
        appearances = color_histograms(frame)
        for track in self._tracks:
            track.motion.predict()
            track.age += 1
        matches: dict[int, _Track] = {}
        for age in range(1, self._max_age + 1):
            tracks = [x for x in self._tracks if x.confirmed and x.age == age]
            costs = np.array([_appearance_costs(x, measured, appearances) for x in tracks])
            _match(tracks, costs, self._max_appearance_distance, matches)
        # By overlap: recently seen tracks whose appearance may have changed, and new tracks.
        matched = {x.id for x in matches.values()}
        rest = [x for x in self._tracks if x.id not in matched and (not x.confirmed or x.age == 1)]
        predicted = boxes.new_tensor(np.array([x.box for x in rest]).reshape(-1, 4))
        overlap = box_iou(predicted, boxes).double().cpu().numpy()
        _match(rest, 1 - overlap, MAX_IOU_DISTANCE, matches)
        for i, detection in enumerate(zip(measured, appearances, strict=True)):
            if i in matches:
                matches[i].update(*detection)
            else:
                matches[i] = _Track(next(self._new_ids), *detection)
                self._tracks.append(matches[i])
        self._tracks = [x for x in self._tracks if x.age <= (self._max_age if x.confirmed else 0)]
        return [matches[i].id for i in range(len(measured))]


def _appearance_costs(track: _Track, measured: np.ndarray, appearances: np.ndarray) -> np.ndarray:
    """(N,) cosine distances; infinite where the motion of the track rules the detection out."""
    distances = 1 - (np.stack(track.gallery) @ appearances.T).max(0)
    return np.where(track.motion.distances(measured) > GATE, np.inf, distances)


def _match(
    tracks: list[_Track], costs: np.ndarray, limit: float, matches: dict[int, _Track]
) -> None:
    """Match P tracks with the detections that are not in ``matches``, and add them there.
    ``costs`` is (P, N); ``limit`` is the highest cost of a match."""
    if not tracks:
        return
    unmatched = [i for i in range(costs.shape[1]) if i not in matches]
    # A pair above the limit must not displace one below it.
    costs = np.where(costs[:, unmatched] > limit, limit + 1e-5, costs[:, unmatched])
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        if costs[row, column] <= limit:
            matches[unmatched[column]] = tracks[row]
