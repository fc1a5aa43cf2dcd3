"""MaskTrack R-CNN (Yang et al., ICCV 2019): learned appearance and the cues of IoUTracker+."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import MissingWeightsError
from ..structures import FrameOutput
from .memory_tracker import MemoryTracker


class MaskTrackTracker(MemoryTracker):
    """A detection gets its most probable id by appearance, score, box overlap and category.

    If several detections have the same best id, the one with the highest score gets it. The others
    get their next best id, or a new one. (The published code drops them, or lets two keep the id if
    the weaker one came first.)
    """

    def scores(self, output: FrameOutput) -> tuple[Tensor, Tensor]:
        scores, new_scores = super().scores(output)
        appearance, new_appearance = self.appearance_scores(output)
        return scores + appearance, new_scores + new_appearance

    def appearance_scores(self, output: FrameOutput) -> tuple[Tensor, Tensor]:
        """The learned term of the matching scores.

        Returns:
            (N, Y) log-probabilities that each detection shows each of the ``objects``, and (N,)
            that it shows none of them.
        """
        if output.embeddings is None:
            raise MissingWeightsError("masktrack", "this model")
        known = [x.embedding[None] for x in self.objects.values() if x.embedding is not None]
        logits = output.embeddings @ torch.cat([output.embeddings[:0], *known]).T
        log_probabilities = F.pad(logits, (1, 0)).log_softmax(1)
        return log_probabilities[:, 1:], log_probabilities[:, 0]
