"""MaskTrack R-CNN's matching of detections with a memory of the video's objects."""

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
    label: int  # Of the first detection, as published.
    last_seen: int  # Index of the latest frame.


class MemoryTracker(OnlineTracker):
    """Matches detections greedily with the objects of the last ``MAX_AGE`` frames."""

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
        overlap = box_iou(output.boxes_video, torch.cat(boxes))
        scores = certainty[:, None] + IOU_WEIGHT * overlap + LABEL_WEIGHT * same_label
        return scores, certainty + LABEL_WEIGHT

    def link(self, frame: Frame) -> list[int]:
        output, known_ids = frame.output, list(self.objects)
        embeddings = [None] * len(output) if output.embeddings is None else output.embeddings
        labels = output.labels.tolist()
        ids = []
        for i, match in enumerate(match_greedily(*self.scores(output))):
            track_id = next(self._new_ids) if match is None else known_ids[match]
            label = labels[i] if match is None else self.objects[track_id].label
            box = output.boxes_video[i]
            self.objects[track_id] = Object(box, embeddings[i], label, frame.index)
            ids.append(track_id)
        oldest = frame.index - MAX_AGE
        self.objects = {y: x for y, x in self.objects.items() if x.last_seen > oldest}
        return ids
