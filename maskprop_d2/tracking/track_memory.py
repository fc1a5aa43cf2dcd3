"""What linkers remember of tracks that are hidden, and how alike tracks are."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

MOMENTUM = 0.8
"""Share of a track's appearance that stays when a detection is added to it."""
MIN_SIMILARITY = 0.85
"""Cosine similarity of appearances above which two may be one object's."""


@dataclass
class RememberedTrack:
    """What the linker knows of a track apart from the masks of its clips.

    Attributes:
        last_seen: index of the last frame with a detection of it.
        appearance: (E,) unit vector.
        class_scores: (K+1,) sum of the class scores of its detections.
        first_seen: index of the first frame with a detection of it.
    """

    last_seen: int
    appearance: Tensor
    class_scores: Tensor
    first_seen: int = field(init=False)

    def __post_init__(self) -> None:
        self.first_seen = self.last_seen

    def update(self, frame: int, appearance: Tensor, class_scores: Tensor) -> None:
        """Add a detection."""
        self.last_seen = frame
        mixed = MOMENTUM * self.appearance + (1 - MOMENTUM) * appearance
        self.appearance = F.normalize(mixed, dim=0)
        self.class_scores = self.class_scores + class_scores


def appearance_similarity(a: Tensor, b: Tensor, minimum: float = MIN_SIMILARITY) -> Tensor:
    """(N, M) similarities, in [0, 1], of (N, E) and (M, E) unit vectors: their cosines, scaled so
    that ``minimum`` and less become 0."""
    return ((a @ b.T - minimum) / (1 - minimum)).clamp(min=0)


def category_factor(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """(N, M) factors in [0, 1] by which categories change scores: 1 - weight * (1 -
    ``category_similarity``), for a weight in [0, 1]."""
    return 1 - weight * (1 - category_similarity(a, b))


def category_similarity(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) cosine similarities, in [0, 1], of (N, K+1) and (M, K+1) class scores, without those
    of the background."""
    return F.normalize(a[:, :-1], dim=1) @ F.normalize(b[:, :-1], dim=1).T
