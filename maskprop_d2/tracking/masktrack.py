"""MaskTrack R-CNN (Yang et al., ICCV 2019): learned appearance, and IoUTracker+'s cues."""

from typing import Any

from ..errors import MissingWeightsError
from ..structures import Frame
from .assignment import assign_best_first
from .base import Linking, OnlineTracker, TrackerFactory
from .memory import Memory


def build(linking: Linking, **options_of_the_head: Any) -> TrackerFactory:
    """See ``build_tracker``. Its options are the network's: they describe the embedding head."""
    return lambda network: MaskTrack()


class MaskTrack(OnlineTracker):
    """A detection takes the id that it most probably shows, by appearance, score, overlap with the
    latest box, and category.

    Of detections that want one id the best match has it, and the others their next best that
    beats being new. (The published code drops the others, and if a weaker one came first, both
    keep the id.)
    """

    def __init__(self) -> None:
        self._memory = Memory()

    def link(self, frame: Frame) -> list[int]:
        """See ``OnlineTracker.link``.

        Raises:
            MissingWeightsError: if the network gives no embeddings.
        """
        if frame.output.embeddings is None:
            raise MissingWeightsError("masktrack", "this model")
        scores, new_scores, ids = self._memory.cues(frame)
        known, new = self._memory.appearance(frame.output.embeddings)
        columns = assign_best_first(scores + known, new_scores + new)
        return self._memory.update(frame, [None if x is None else ids[x] for x in columns])
