"""The memory of a video's objects that MaskTrack R-CNN matches detections with."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from ..structures import Frame

IOU_WEIGHT, LABEL_WEIGHT = 2.0, 10.0
"""The published weights of two cues beside the logarithm of the detection score."""

MAX_AGE = 20
"""Frames after which an object that is not seen is forgotten, so that memory stays constant."""


@dataclass
class _Object:
    """What is known of an id: (4,) its latest box, (E,) its latest embedding if the network gives
    any, its first label, and when it was last seen."""

    box: Tensor
    embedding: Tensor | None
    label: int
    seen: int


class Memory:
    """Each id's latest box and embedding and its first label, as published."""

    def __init__(self) -> None:
        self._objects: dict[int, _Object] = {}
        self._next_id = 0

    def cues(self, frame: Frame) -> tuple[Tensor, Tensor, list[int]]:
        """The matching score of MaskTrack R-CNN without its learned term.

        Returns:
            (N, Y) scores of each detection with each known id: log(detection score) + 2 IoU of
            the boxes + 10 where the labels agree; (N,) its score for being a new object, which
            has no box but always the right label; and the Y ids.
        """
        ids = list(self._objects)
        found = frame.output
        certain = found.scores.clamp(min=1e-12).log()
        boxes = [self._objects[y].box for y in ids]
        known_boxes = torch.stack(boxes) if boxes else found.boxes_video.new_zeros(0, 4)
        known_labels = torch.tensor([self._objects[y].label for y in ids]).to(certain)
        same = labels(frame)[:, None] == known_labels
        overlaps = box_iou(found.boxes_video, known_boxes)
        scores = certain[:, None] + IOU_WEIGHT * overlaps + LABEL_WEIGHT * same
        return scores, certain + LABEL_WEIGHT, ids

    def appearance(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """The learned term of MaskTrack R-CNN's matching score.

        Args:
            embeddings: (N, E) of the detections of a frame.

        Returns:
            (N, Y) logarithms of the probabilities that each detection shows each known id, in the
            order of ``cues``; and (N,) of that it shows none of them.
        """
        known = [x.embedding for x in self._objects.values() if x.embedding is not None]
        logits = embeddings @ torch.stack(known).T if known else embeddings[:, :0]
        logarithms = F.pad(logits, (1, 0)).log_softmax(1)
        return logarithms[:, 1:], logarithms[:, 0]

    def update(self, frame: Frame, matched: list[int | None]) -> list[int]:
        """Note where the objects are now, and forget those not seen for long.

        Args:
            frame: the next frame.
            matched: for each of its N detections a known id, or None for a new object.

        Returns:
            the ids of the N detections.
        """
        ids = []
        found = frame.output
        embeddings = [None] * len(found) if found.embeddings is None else found.embeddings
        rows = zip(matched, found.boxes_video, embeddings, labels(frame).tolist(), strict=True)
        for track_id, box, embedding, label in rows:
            if track_id is None:
                track_id = self._next_id
                self._next_id += 1
            known = self._objects.get(track_id)
            label = known.label if known else label
            self._objects[track_id] = _Object(box, embedding, label, frame.index)
            ids.append(track_id)
        oldest = frame.index - MAX_AGE
        self._objects = {y: x for y, x in self._objects.items() if x.seen > oldest}
        return ids


def labels(frame: Frame) -> Tensor:
    """(N,) the most probable category of each detection."""
    return frame.output.class_scores[:, :-1].argmax(1)
