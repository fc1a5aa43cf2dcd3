"""MaskTrack R-CNN (Yang et al., ICCV 2019): learned appearance and the cues of IoUTracker+."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import MissingWeightsError
from ..networks.embedding import check_variant
from ..structures import Frame, FrameOutput, TrackedFrame
from .base import FrameNetwork
from .memory_tracker import MemoryTracker


class MaskTrackTracker(MemoryTracker):
    """A detection gets its most probable id by appearance, score, box overlap and category.

    If several detections have the same best id, the one with the highest score gets it. The others
    get their next best id, or a new one. (The published code drops them, or lets two keep the id if
    the weaker one came first.)

    In mmtracking's variant the others are dropped, a detection has only the category for which it
    passed NMS, an object has that of its latest detection, and objects are forgotten only in frames
    with detections.
    """

    def __init__(self, network: FrameNetwork, *, variant: str = "original"):
        """
        Args:
            network: detects in the video's frames.
            variant: "original" or "mmtracking".

        Raises:
            InputError: for another variant.
        """
        super().__init__(network)
        check_variant(variant)
        self.is_original = self.keeps_first_label = variant == "original"

    def assign(self, output: FrameOutput) -> Sequence[int | None]:
        if self.is_original:
            return super().assign(output)
        scores, new_scores = self.scores(output)
        best_scores, columns = torch.cat([new_scores[:, None], scores], 1).max(1)
        choices, known_ids = columns.tolist(), list(self.objects)
        winners: dict[int, int] = {}
        for i in best_scores.argsort(descending=True, stable=True).tolist():
            winners.setdefault(choices[i], i)
        ids: list[int | None] = []
        for i, choice in enumerate(choices):
            if choice == 0:
                ids.append(next(self._new_ids))
            else:
                ids.append(known_ids[choice - 1] if winners[choice] == i else None)
        return ids

    def add(self, frame: Frame) -> list[TrackedFrame]:
        if self.is_original:
            return super().add(frame)
        class_scores = detected_class_scores(frame.output)
        frame = replace(frame, output=replace(frame.output, class_scores=class_scores))
        return [TrackedFrame(frame.index, self.link(frame), class_scores=class_scores)]

    def link(self, frame: Frame) -> Sequence[int | None]:
        return super().link(frame) if self.is_original or len(frame.output) else []

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


def detected_class_scores(output: FrameOutput) -> Tensor:
    """(N, K+1) class scores without those of all categories but the detected one."""
    zeros = torch.zeros_like(output.class_scores)
    scores = output.scores[:, None].to(zeros)
    return zeros.scatter(1, output.detected_labels[:, None], scores)
