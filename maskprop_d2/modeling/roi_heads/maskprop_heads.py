"""Mask R-CNN's ROI heads with the additional outputs that MaskProp needs."""

from typing import Any

import torch
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, FastRCNNOutputLayers, StandardROIHeads
from detectron2.structures import Boxes, Instances
from torch import Tensor

from .semantic import SemanticPooling


@ROI_HEADS_REGISTRY.register()
class MaskPropROIHeads(SemanticPooling, StandardROIHeads):
    """Returns the softmax vector of each detection, and predicts masks for given boxes."""

    @property
    def final_predictor(self) -> FastRCNNOutputLayers:
        """The predictor whose thresholds select the detections."""
        return self.box_predictor

    def _forward_box(self, features: dict[str, Tensor], proposals: list[Instances]) -> Any:
        """The losses in training; else detections, with their ``class_scores``, (N, K+1)."""
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

    def predict_masks(
        self, features: dict[str, Tensor], boxes: list[Boxes], classes: list[Tensor]
    ) -> list[Tensor]:
        """Predict masks for given boxes and categories, in training and inference.

        Args:
            features: the pyramid of B images.
            boxes: N boxes for each image.
            classes: (N,) category indices for each image.

        Returns:
            (N, m, m) soft masks inside the boxes, for each image.
        """
        levels = [features[f] for f in self.mask_in_features]
        logits = self.mask_head.layers(self.mask_pooler(levels, boxes))
        masks = select_categories(logits, torch.cat(classes)).sigmoid()
        return list(masks.split([len(x) for x in boxes]))


def select_categories(logits: Tensor, classes: Tensor) -> Tensor:
    """Select the mask of each instance's own category.

    Args:
        logits: (N, K, m, m), or (N, 1, m, m) from a class-agnostic mask head.
        classes: (N,) category indices.

    Returns:
        (N, m, m)
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    index = classes[:, None, None, None].expand(-1, -1, *logits.shape[-2:])
    return logits.gather(1, index)[:, 0]
