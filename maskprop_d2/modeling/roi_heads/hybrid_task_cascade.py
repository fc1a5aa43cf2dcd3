"""
The ROI heads of Hybrid Task Cascade (Chen et al., CVPR 2019), used in Sec. 4.4 of the paper.

Shapes are named as in ``maskprop_d2.structures``. In addition, R is the number of RoIs in all
images and r the side of the pooled mask features (14).
"""

from typing import Any

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import (
    ROI_HEADS_REGISTRY,
    CascadeROIHeads,
    FastRCNNOutputLayers,
    MaskRCNNConvUpsampleHead,
)
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_loss
from detectron2.modeling.roi_heads.roi_heads import select_foreground_proposals
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from fvcore.nn import weight_init
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError
from .maskprop_heads import select_categories
from .semantic import SemanticPooling


@ROI_HEADS_REGISTRY.register()
class HybridTaskCascadeHeads(SemanticPooling, CascadeROIHeads):
    """A cascade of box heads, each with a mask head that gets features of the mask heads before it.

    The mask head of a stage is trained on the boxes refined by the box head of that stage, which
    are matched and sampled again. The features of the previous stage's mask head on the same RoIs
    are added to its RoI features, so each stage runs the chain of mask heads up to its own.
    """

    @configurable
    def __init__(
        self,
        *,
        mask_heads: list[MaskRCNNConvUpsampleHead],
        stage_loss_weights: list[float],
        **kwargs: Any,
    ):
        """
        Args:
            mask_heads: one for each stage.
            stage_loss_weights: multiplier of the losses of each stage.
            **kwargs: arguments of ``CascadeROIHeads``.
        """
        super().__init__(mask_head=nn.ModuleList(mask_heads), **kwargs)
        self.stage_loss_weights = stage_loss_weights
        self.mask_flow = nn.ModuleList()
        for head in mask_heads[1:]:
            first = head.conv_norm_relus[0]
            conv = nn.Conv2d(head.conv_norm_relus[-1].out_channels, first.in_channels, 1)
            weight_init.c2_msra_fill(conv)
            self.mask_flow.append(conv)

    @classmethod
    def from_config(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments from the config.

        Raises:
            InputError: if the config does not fit a cascade.
        """
        number = len(cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS)
        weights = list(cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS)
        if not cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
            raise InputError(
                "a cascade refines one box for all categories: set "
                "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG True"
            )
        if not cfg.MODEL.MASK_ON:
            raise InputError("HybridTaskCascadeHeads predict masks: set MODEL.MASK_ON True")
        if len(weights) != number:
            raise InputError(
                f"MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS has {len(weights)} values, but "
                f"IOUS has {number} stages"
            )
        return {**super().from_config(cfg, input_shape), "stage_loss_weights": weights}

    @classmethod
    def _init_box_head(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        args = super()._init_box_head(cfg, input_shape)
        for predictor in args["box_predictors"]:
            weights = predictor.box2box_transform.weights
            predictor.box2box_transform = BoxTransform(weights)
        return args

    @classmethod
    def _init_mask_head(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        build = super()._init_mask_head
        stages = [build(cfg, input_shape) for _ in cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS]
        heads = [stage.pop("mask_head") for stage in stages]
        if not all(isinstance(x, MaskRCNNConvUpsampleHead) and x.conv_norm_relus for x in heads):
            raise InputError(
                "HybridTaskCascadeHeads need mask heads with convolutions: set "
                "MODEL.ROI_MASK_HEAD.NAME MaskRCNNConvUpsampleHead and NUM_CONV above 0"
            )
        return {**stages[0], "mask_heads": heads}

    @property
    def final_predictor(self) -> FastRCNNOutputLayers:
        """The predictor whose thresholds select the detections."""
        return self.box_predictor[-1]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Load the weights; a head that the checkpoint has only once initializes all stages.

        Detectron2's Mask R-CNN has all heads once, its cascade has the mask head once.
        """
        own = {prefix + name: value.shape for name, value in self.state_dict().items()}
        for part in ("box_head", "box_predictor", "mask_head"):
            start = f"{prefix}{part}."
            for name in [x for x in state_dict if x.startswith(start)]:
                rest = name.removeprefix(start)
                stages = [f"{start}{stage}.{rest}" for stage in range(self.num_cascade_stages)]
                # Weights that do not fit are left to be reported.
                if all(own.get(x) == state_dict[name].shape for x in stages):
                    state_dict.update(dict.fromkeys(stages, state_dict.pop(name)))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        if not self.training:
            return super().forward(images, features, proposals)
        levels = [features[f] for f in self.box_in_features]
        losses = {}
        for stage, weight in enumerate(self.stage_loss_weights):
            with get_event_storage().name_scope(f"stage{stage}"):
                sampled = self._sample(proposals, stage, targets)
                predictions = self._run_stage(levels, sampled, stage)
                stage_losses = self.box_predictor[stage].losses(predictions, sampled)
                proposals = self._refine(predictions, sampled, stage)
                sampled = self._sample(proposals, stage, targets)
                stage_losses["loss_mask"] = self._mask_loss(features, sampled, stage)
            for name, loss in stage_losses.items():
                losses[f"{name}_stage{stage}"] = loss * weight
        return proposals, losses

    def _sample(
        self, proposals: list[Instances], stage: int, targets: list[Instances] | None
    ) -> list[Instances]:
        """Label and sample proposals with the IoU threshold of a stage."""
        self.proposal_matcher = self.proposal_matchers[stage]
        return self.label_and_sample_proposals(proposals, targets)

    @torch.no_grad()
    def _refine(
        self, predictions: tuple[Tensor, Tensor], sampled: list[Instances], stage: int
    ) -> list[Instances]:
        """Refine proposals by the box head of a stage.

        Ground-truth boxes among the proposals are dropped, since each sampling adds them again.
        """
        boxes = self.box_predictor[stage].predict_boxes(predictions, sampled)
        refined = []
        for image_boxes, x in zip(boxes, sampled, strict=True):
            if x.has("gt_boxes"):
                is_truth = (x.proposal_boxes.tensor == x.gt_boxes.tensor).all(1)
                image_boxes = image_boxes[~is_truth]
            refined.append(image_boxes)
        proposals = self._create_proposals_from_boxes(refined, [x.image_size for x in sampled])
        for x in proposals:
            # Not used, but required where ground truth is added.
            x.objectness_logits = x.proposal_boxes.tensor.new_zeros(len(x))
        return proposals

    def _run_stage(
        self, features: list[Tensor], proposals: list[Instances], stage: int
    ) -> tuple[Tensor, Tensor]:
        """The predictions of a stage for proposals; gradients are not scaled, since the stages have
        loss weights."""
        box_features = self.box_pooler(features, [x.proposal_boxes for x in proposals])
        return self.box_predictor[stage](self.box_head[stage](box_features))

    def _mask_loss(
        self, features: dict[str, Tensor], proposals: list[Instances], stage: int
    ) -> Tensor:
        """Compute the loss of a stage's mask head on its foreground proposals."""
        foreground, _ = select_foreground_proposals(proposals, self.num_classes)
        levels = [features[f] for f in self.mask_in_features]
        pooled = self.mask_pooler(levels, [x.proposal_boxes for x in foreground])
        head = self.mask_head[stage]
        logits = upsampled_logits(head, self._mask_features(pooled, stage)[-1])
        return mask_rcnn_loss(logits, foreground, head.vis_period) * head.loss_weight

    def _mask_features(self, pooled: Tensor, last_stage: int) -> list[Tensor]:
        """Run the chain of mask heads.

        Args:
            pooled: (R, channels, r, r) RoI features.
            last_stage: the last stage to run.

        Returns:
            (R, channels, r, r) features of each stage.
        """
        features: list[Tensor] = []
        for stage in range(last_stage + 1):
            x = pooled
            if stage > 0:
                x = x + F.relu(self.mask_flow[stage - 1](features[-1]))
            for conv in self.mask_head[stage].conv_norm_relus:
                x = conv(x)
            features.append(x)
        return features

    def _forward_box(
        self,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> list[Instances]:
        """Detect objects: boxes of the last stage, scores from the mean logits of all stages.

        Detections also have ``class_scores``, (N, K+1).
        """
        levels = [features[f] for f in self.box_in_features]
        sizes = [x.image_size for x in proposals]
        logits = []
        boxes: list[Tensor] = []
        for stage in range(self.num_cascade_stages):
            if stage > 0:
                proposals = self._create_proposals_from_boxes(boxes, sizes)
            predictions = self._run_stage(levels, proposals, stage)
            logits.append(predictions[0])
            boxes = self.box_predictor[stage].predict_boxes(predictions, proposals)
        scores = torch.stack(logits).mean(0).softmax(1).split([len(x) for x in proposals])
        detections, kept = fast_rcnn_inference(
            boxes,
            scores,
            sizes,
            self.final_predictor.test_score_thresh,
            self.final_predictor.test_nms_thresh,
            self.final_predictor.test_topk_per_image,
        )
        for detected, image_scores, rows in zip(detections, scores, kept, strict=True):
            detected.class_scores = image_scores[rows]
        return detections

    def _forward_mask(
        self, features: dict[str, Tensor], instances: list[Instances]
    ) -> list[Instances]:
        """Add ``pred_masks``, (N, 1, m, m), to detections."""
        boxes, classes = [x.pred_boxes for x in instances], [x.pred_classes for x in instances]
        masks = self.predict_masks(features, boxes, classes)
        for x, image_masks in zip(instances, masks, strict=True):
            x.pred_masks = image_masks[:, None]
        return instances

    def predict_masks(
        self, features: dict[str, Tensor], boxes: list[Boxes], classes: list[Tensor]
    ) -> list[Tensor]:
        """As ``MaskPropROIHeads.predict_masks``; returns the mean of the stages' soft masks."""
        levels = [features[f] for f in self.mask_in_features]
        pooled = self.mask_pooler(levels, boxes)
        stage_features = self._mask_features(pooled, self.num_cascade_stages - 1)
        labels = torch.cat(classes)
        stage_masks = [
            select_categories(upsampled_logits(head, x), labels).sigmoid()
            for head, x in zip(self.mask_head, stage_features, strict=True)
        ]
        return list(torch.stack(stage_masks).mean(0).split([len(x) for x in boxes]))


class BoxTransform(Box2BoxTransform):
    """Detectron2's coding of boxes, which also limits how much smaller a refined box can be."""

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        sizes = [-weight * self.scale_clamp for weight in self.weights[2:]]
        lowest = deltas.new_tensor([-torch.inf, -torch.inf, *sizes])
        return super().apply_deltas(torch.maximum(deltas, lowest), boxes)


def upsampled_logits(head: MaskRCNNConvUpsampleHead, features: Tensor) -> Tensor:
    """Upsample and classify features of a mask head's 3x3 convolutions.

    Args:
        head: the mask head.
        features: (R, channels, r, r).

    Returns:
        (R, K or 1, m, m) logits.
    """
    return head.predictor(head.deconv_relu(head.deconv(features)))
