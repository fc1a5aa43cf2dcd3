"""The meta-architecture: a Mask R-CNN on every frame, and mask propagation between frames."""

from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from ..inference.detector_network import (
    Detections,
    DetectorNetwork,
    FrameSettings,
    build_mask_propagators,
)
from ..inference.segmenter import VideoSegmenter
from ..networks.crop_classifier import CropClassifier
from ..networks.embedding import EmbeddingHead
from ..networks.propagation import PropagationBranch
from ..networks.refinement import MaskRefinement
from ..networks.stsn import SpatiotemporalSampling, support_each_other
from ..tracking import MaskPropagator
from .backbone.deformable import use_torchvision_deform_conv
from .crop_loss import crop_classifier_loss
from .masktrack_loss import MaskTrackLoss
from .options import frame_settings, part_options, segmenter_options
from .propagation_training import PropagationTraining
from .refinement_loss import RefinementLoss
from .regions import moved
from .roi_heads.semantic import EMBEDDING, SemanticBranch


@META_ARCH_REGISTRY.register()
class MaskProp(DetectorNetwork, GeneralizedRCNN):
    """Video Mask R-CNN (Sec. 4.1 of the paper).

    In training it takes clips of few frames and gives losses; in inference it takes videos. It is a
    ``FrameNetwork`` itself: ``detect`` and ``propagate`` of ``DetectorNetwork`` are what streaming
    inference is built from.

    Attributes:
        propagation_training: what propagation learns from, and what is shown of it.
    """

    @configurable
    def __init__(
        self,
        *,
        stsn: SpatiotemporalSampling | None,
        propagation: PropagationBranch,
        mask_propagators: nn.ModuleDict,
        propagation_training: PropagationTraining,
        semantic_branch: SemanticBranch | None,
        refinement: MaskRefinement | None,
        refinement_loss: RefinementLoss,
        embedding: EmbeddingHead | None,
        masktrack_loss: MaskTrackLoss,
        crop_classifier: CropClassifier | None,
        frame_settings: FrameSettings,
        train_on_partner: bool,
        freeze_detector: bool,
        segmenter_options: dict[str, Any],
        **kwargs: Any,
    ):
        """
        Args:
            stsn: samples supporting frames into each one's pyramid, or None.
            propagation: the propagation branch.
            mask_propagators: the network of the tracking method, by its name, if it has one. It
                learns in the place of the propagation branch, which then stays as it is.
            propagation_training: the training of either; with a loss of weight 0 neither learns.
            semantic_branch: the semantic branch of the detector, or None.
            refinement: the refinement of the detector's masks, or None.
            refinement_loss: its loss; with a weight of 0 it does not learn.
            embedding: the embedding head of MaskTrack R-CNN, or None.
            masktrack_loss: its loss.
            crop_classifier: the crop classifier of EnsembleVIS, or None.
            frame_settings: what surrounds the network in inference, and the level of propagation.
            train_on_partner: whether the detector's losses are taken on the partners too.
            freeze_detector: whether the detector itself does not learn.
            segmenter_options: arguments of ``VideoSegmenter.from_options`` besides the network.
            **kwargs: those of ``GeneralizedRCNN``.
        """
        super().__init__(**kwargs)
        self.stsn = stsn
        self.propagation = propagation
        self.mask_propagators = mask_propagators
        self.propagation_training = propagation_training
        self.semantic_branch = semantic_branch
        self.refinement = refinement
        self.refinement_loss = refinement_loss
        self.embedding = embedding
        self.masktrack_loss = masktrack_loss
        self.crop_classifier = crop_classifier
        self.frame_settings = frame_settings
        self.train_on_partner = train_on_partner
        self.freeze_detector = freeze_detector
        if freeze_detector:
            # With nothing in it to learn, autograd keeps none of its activations either.
            for part in self._detector():
                part.requires_grad_(False)
        learns = propagation_training.loss.weight > 0
        mask_propagators.requires_grad_(learns)
        propagation.requires_grad_(learns and not mask_propagators)
        if refinement is not None:
            refinement.requires_grad_(refinement_loss.weight > 0)
        self.segmenter = VideoSegmenter.from_options(self, **segmenter_options)

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from the config."""
        quiet = cfg.clone()
        quiet.defrost()
        # Detectron2's mask heads would show more than a hundred crops beside each picture of ours.
        quiet.VIS_PERIOD = 0
        args = super().from_config(quiet)
        use_torchvision_deform_conv(args["backbone"])
        options = cfg.MODEL.MASKPROP
        shapes = args["backbone"].output_shape()
        settings = frame_settings(cfg, args["backbone"])
        parts = part_options(cfg, shapes)
        return {
            **args,
            "vis_period": cfg.VIS_PERIOD,
            "frame_settings": settings,
            "stsn": SpatiotemporalSampling(**parts["stsn"]) if "stsn" in parts else None,
            "propagation": PropagationBranch(**parts["propagation"]),
            "mask_propagators": build_mask_propagators(**parts.get("mask_propagators", {})),
            "propagation_training": PropagationTraining(cfg, settings.propagation_stride),
            "semantic_branch": SemanticBranch(cfg, shapes) if options.SEMANTIC.ENABLED else None,
            "refinement": MaskRefinement(**parts["refinement"]) if "refinement" in parts else None,
            "embedding": EmbeddingHead(**parts["embedding"]) if "embedding" in parts else None,
            "masktrack_loss": MaskTrackLoss(options.MASKTRACK.LOSS_WEIGHT),
            "crop_classifier": (
                CropClassifier(**parts["crop_classifier"]) if "crop_classifier" in parts else None
            ),
            "refinement_loss": RefinementLoss(options.REFINEMENT.LOSS_WEIGHT),
            "train_on_partner": options.TRAIN_ON_PARTNER,
            "freeze_detector": options.FREEZE_DETECTOR,
            "segmenter_options": segmenter_options(cfg),
        }

    def _detector(self) -> tuple[nn.Module, ...]:
        """All that finds the objects of a frame."""
        parts = (
            self.backbone,
            self.stsn,
            self.proposal_generator,
            self.roi_heads,
            self.semantic_branch,
        )
        return tuple(part for part in parts if part is not None)

    def train(self, mode: bool = True) -> "MaskProp":
        """As in the base class, but what is frozen stays in eval mode, the whole of a detector or
        single norms without anything to learn: they keep their statistics."""
        super().train(mode)
        for module in self.modules():
            weights = list(module.parameters(recurse=False))
            has_statistics = getattr(module, "running_mean", None) is not None
            if has_statistics and weights and not any(x.requires_grad for x in weights):
                module.eval()
        if self.freeze_detector:
            for part in self._detector():
                part.eval()
        return self

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """
        Args:
            batched_inputs: in training, outputs of ``ClipMapper``; in inference, dicts with
                ``frames``, an iterable of (H, W, 3) uint8 RGB arrays, one dict a video.

        Returns:
            in training, losses by name (none of a frozen detector); in inference, for each video
            the dict of ``VideoTracks.as_dict``.
        """
        if not self.training:
            return [self.segmenter.segment(video["frames"]).as_dict() for video in batched_inputs]
        # One batch through the backbone: the key frames of all clips, then all first partners, ...
        clips = len(batched_inputs)
        clip_frames = zip(*(x["clip"] for x in batched_inputs), strict=True)
        frames = [frame for of_clips in clip_frames for frame in of_clips]
        images = self.preprocess_image(frames)
        features = self.backbone(images.tensor)
        if self.stsn is not None:
            features = support_each_other(self.stsn, features, clips)
        objects = [x["instances"].to(self.device) for x in frames]
        targets = objects[:clips]
        losses, of_key_frames = self._detector_losses(images, features, frames, objects, clips)
        if self.embedding is not None:
            losses["loss_masktrack"] = self.masktrack_loss(
                self.embedding, features, targets, objects[clips:]
            )
        if self.refinement is not None and self.refinement_loss.weight > 0:
            losses["loss_refinement"] = self._refinement_loss(images.tensor, of_key_frames, targets)
        with torch.no_grad():
            boxes = [x.gt_boxes for x in targets]
            box_masks = self._predict_masks(of_key_frames, boxes, targets)
        if self.crop_classifier is not None:
            losses["loss_crop_classifier"] = crop_classifier_loss(
                self.crop_classifier, images.tensor, box_masks, targets
            )
        if self.propagation_training.loss.weight > 0:
            name, learner = self._learner()
            level = features[self.frame_settings.propagation_feature]
            losses[f"loss_{name}"] = self.propagation_training(
                learner, level, box_masks, objects, [x["clip"] for x in batched_inputs]
            )
        return losses

    def _learner(self) -> tuple[str, PropagationBranch | MaskPropagator]:
        """What learns to propagate masks, and its name: the tracking method's own network, if it
        has one."""
        for method in self.mask_propagators:
            return method, self.mask_propagator(method)
        return "propagation", self.propagation

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """As in the base class, which knows nothing of the sides that some backbones ask for."""
        images = super().preprocess_image(batched_inputs)
        return ImageList(self.frame_settings.padded(images.tensor), images.image_sizes)

    def _detector_losses(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        frames: list[dict[str, Any]],
        objects: list[Instances],
        clips: int,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The losses of what works on single frames, but for refinement, on the key frames or, with
        ``train_on_partner``, on all of the clips' frames; none if that is frozen.

        Returns:
            the losses, and the pyramid of the key frames, with the semantic embedding.
        """
        number = len(frames) if self.train_on_partner and not self.freeze_detector else clips
        features = {name: level[:number] for name, level in features.items()}
        images = ImageList(images.tensor[:number], images.image_sizes[:number])
        losses = {}
        if self.semantic_branch is not None:
            logits, features[EMBEDDING] = self.semantic_branch(features)
            if not self.freeze_detector:
                maps = [x["sem_seg"] for x in frames[:number]]
                losses["loss_semantic"] = self.semantic_branch.loss(logits, maps)
        if not self.freeze_detector:
            targets = objects[:number]
            proposals, of_proposals = self.proposal_generator(images, features, targets)
            _, of_rois = self.roi_heads(images, features, proposals, targets)
            losses.update(**of_proposals, **of_rois)
        return losses, {name: level[:clips] for name, level in features.items()}

    def _predict_masks(
        self, features: dict[str, Tensor], boxes: list[Boxes], targets: list[Instances]
    ) -> list[Tensor]:
        """The mask head's own masks of each frame's ground-truth instances, on boxes near theirs: B
        tensors (N, m, m)."""
        return self.roi_heads.predict_masks(features, boxes, [x.gt_classes for x in targets])

    def _refinement_loss(
        self, images: Tensor, features: dict[str, Tensor], targets: list[Instances]
    ) -> Tensor:
        """The loss of refining the mask head's masks of each key frame's ground-truth instances,
        with a gradient to the mask head too. On their very boxes it would only learn that objects
        end where boxes do."""
        boxes = [Boxes(moved(x.gt_boxes.tensor, 0.5)) for x in targets]
        for of_image, x in zip(boxes, targets, strict=True):
            of_image.clip(x.image_size)
        masks = self._predict_masks(features, boxes, targets)
        return self.refinement_loss(
            self.refinement, images, [x.tensor for x in boxes], masks, targets
        )

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """See ``DetectorNetwork.pyramid``."""
        return self.backbone(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        """See ``DetectorNetwork.find_objects``."""
        if self.semantic_branch is not None:
            _, embedding = self.semantic_branch(pyramid)
            pyramid = {**pyramid, EMBEDDING: embedding}
        level = pyramid[self.frame_settings.propagation_feature]
        # In inference Detectron2 asks for the sizes alone, not for the images.
        images = ImageList(level, [image_size] * len(level))
        proposals, _ = self.proposal_generator(images, pyramid, None)
        detections, _ = self.roi_heads(images, pyramid, proposals, None)
        return [
            Detections(x.pred_boxes.tensor, x.scores, x.class_scores, x.pred_masks[:, 0])
            for x in detections
        ]
