"""IoUTracker+: MaskTrack R-CNN's matching score without its learned appearance."""

from ..structures import Frame
from .assignment import assign_best_first
from .base import Linking, OnlineTracker, TrackerFactory
from .memory import Memory


def build(linking: Linking) -> TrackerFactory:
    """See ``build_tracker``. The score has its own threshold, and an id is given once a frame."""
    return lambda network: IoUPlusTracker()


class IoUPlusTracker(OnlineTracker):
    """A detection takes the id whose latest box overlaps most, if of its category.

    Unlike ``iou`` it compares boxes, minds categories, remembers objects for a while, and has no
    threshold: with these weights any overlap beats being new, and no overlap makes up for another
    category. Where two detections want one id, a surer detection has it.
    """

    def __init__(self) -> None:
        self._memory = Memory()

    def link(self, frame: Frame) -> list[int]:
        """See ``OnlineTracker.link``."""
        scores, new_scores, ids = self._memory.cues(frame)
        columns = assign_best_first(scores, new_scores)
        return self._memory.update(frame, [None if x is None else ids[x] for x in columns])
