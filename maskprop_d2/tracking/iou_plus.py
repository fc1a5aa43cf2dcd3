"""IoUTracker+: the matching score of MaskTrack R-CNN without its learned appearance."""

from .memory_tracker import MemoryTracker


class IoUPlusTracker(MemoryTracker):
    """A detection gets the id of its category whose latest box overlaps most.

    Unlike ``IoUTracker`` it compares boxes, heeds categories, remembers objects for some frames and
    has no threshold: with the published weights any overlap scores higher than a new id, and no
    overlap makes up for another category. Of two detections that match one id best, the one with
    the higher score gets it.
    """
