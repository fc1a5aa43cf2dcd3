"""MaskTrack R-CNN's matching of detections with a memory of the video's objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from torchvision.ops import box_iou

from ..structures import Frame, FrameOutput
from .base import FrameNetwork, OnlineTracker
from .matching import match_greedily

# The published weights of box overlap and category; log(detection score) has weight 1.
IOU_WEIGHT, LABEL_WEIGHT = 2.0, 10.0
MAX_AGE = 20  # Frames without a detection after which an object is forgotten.


@dataclass
class Object:
    """What is remembered of an id."""

    box: Tensor  # (4,), the latest.
    embedding: Tensor | None  # (E,), the latest, if the network has an embedding head.
    label: int  # Of the first detection, as published, or of the latest.
    last_seen: int  # Index of the latest frame.


class MemoryTracker(OnlineTracker):
    """Matches detections greedily with the objects of the last ``MAX_AGE`` frames.

    Attributes:
        keeps_first_label: whether an object keeps the label of its first detection.
    """

    keeps_first_label = True

    def __init__(self, network: FrameNetwork):
        super().__init__(network)
        self.objects: dict[int, Object] = {}
        self._new_ids = count()

    def scores(self, output: FrameOutput) -> tuple[Tensor, Tensor]:
        """The matching scores of MaskTrack R-CNN without their learned term.

        Args:
            output: a frame with N detections.

        Returns:
            (N, Y) scores of each detection with each of the Y ``objects``: log(detection score) +
            2 * IoU of the boxes + 10 if the labels are equal; and (N,) scores for a new object,
            which has no box but always the same label.
        """
        objects = self.objects.values()
        boxes = [output.boxes_video[:0], *(x.box[None] for x in objects)]
        labels = torch.tensor([x.label for x in objects]).to(output.labels)
        same_label = output.labels[:, None] == labels
        certainty = output.scores.clamp(min=1e-12).log()
        # Boxes without area do not overlap.
        overlap = box_iou(output.boxes_video, torch.cat(boxes)).nan_to_num(0)
        scores = certainty[:, None] + IOU_WEIGHT * overlap + LABEL_WEIGHT * same_label
        return scores, certainty + LABEL_WEIGHT

    def assign(self, output: FrameOutput) -> Sequence[int | None]:
        """The ids of a frame's N detections; None for those that are dropped."""
        known_ids, matches = list(self.objects), match_greedily(*self.scores(output))
        return [next(self._new_ids) if x is None else known_ids[x] for x in matches]

    def link(self, frame: Frame) -> Sequence[int | None]:
        output = frame.output
        embeddings = [None] * len(output) if output.embeddings is None else output.embeddings
        labels = output.labels.tolist()
        ids = self.assign(output)
        for i, track_id in enumerate(ids):
            if track_id is None:
                continue
            label, known = labels[i], self.objects.get(track_id)
            if known is not None and self.keeps_first_label:
                label = known.label
            self.objects[track_id] = Object(
                output.boxes_video[i], embeddings[i], label, frame.index
            )
        oldest = frame.index - MAX_AGE
        self.objects = {y: x for y, x in self.objects.items() if x.last_seen > oldest}
        return ids
