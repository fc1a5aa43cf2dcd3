"""Mask R-CNN's ROI heads, with the two things more that MaskProp asks of a detector."""

from typing import Any

import torch
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, StandardROIHeads
from detectron2.structures import Boxes, Instances
from torch import Tensor


@ROI_HEADS_REGISTRY.register()
class MaskPropROIHeads(StandardROIHeads):
    """Keeps each detection's whole softmax vector, and predicts masks for given boxes."""

    def _forward_box(self, features: dict[str, Tensor], proposals: list[Instances]) -> Any:
        """As in the base class; detections also get ``class_scores``, (N, K+1)."""
        if self.training:
            return super()._forward_box(features, proposals)
        levels = [features[f] for f in self.box_in_features]
        box_features = self.box_pooler(levels, [x.proposal_boxes for x in proposals])
        predictions = self.box_predictor(self.box_head(box_features))
        detections, kept = self.box_predictor.inference(predictions, proposals)
        probabilities = self.box_predictor.predict_probs(predictions, proposals)
        for detected, scores, rows in zip(detections, probabilities, kept, strict=True):
            detected.class_scores = scores[rows]
        return detections

    @torch.no_grad()
    def predict_masks(
        self, features: dict[str, Tensor], boxes: list[Boxes], classes: list[Tensor]
    ) -> list[Tensor]:
        """Masks of given boxes and categories, without gradient, in training as in inference.

        Args:
            features: the pyramid of B images.
            boxes: N boxes of each image.
            classes: (N,) category indices of each image.

        Returns:
            for each image (N, m, m) soft masks inside the boxes.
        """
        levels = [features[f] for f in self.mask_in_features]
        logits = self.mask_head.layers(self.mask_pooler(levels, boxes))
        columns = torch.cat(classes) if logits.shape[1] > 1 else logits.new_zeros(len(logits))
        rows = torch.arange(len(logits), device=logits.device)
        return list(logits[rows, columns.long()].sigmoid().split([len(x) for x in boxes]))
