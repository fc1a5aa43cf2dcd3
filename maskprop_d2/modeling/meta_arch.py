"""The meta-architecture: a Mask R-CNN on every frame, and mask propagation between frames."""

from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from detectron2.structures import BitMasks, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..inference.frame_network import (
    Detections,
    DetectorNetwork,
    FrameSettings,
    build_mask_propagators,
)
from ..inference.segmenter import VideoSegmenter
from ..ops.masks import paste_masks
from ..propagation import PropagationBranch, per_frame
from ..tracking import MaskPropagator
from .options import propagation_options, segmenter_options
from .propagation_loss import PropagationLoss


@META_ARCH_REGISTRY.register()
class MaskProp(DetectorNetwork, GeneralizedRCNN):
    """Video Mask R-CNN (Sec. 4.1 of the paper).

    In training it takes pairs of frames and gives losses; in inference it takes videos. It is a
    ``FrameNetwork`` itself: ``detect`` and ``propagate`` of ``DetectorNetwork`` are what streaming
    inference is built from.
    """

    @configurable
    def __init__(
        self,
        *,
        propagation: PropagationBranch,
        mask_propagators: nn.ModuleDict,
        propagation_loss: PropagationLoss,
        frame_settings: FrameSettings,
        gt_mask_iters: int,
        train_on_partner: bool,
        freeze_detector: bool,
        segmenter_options: dict[str, Any],
        **kwargs: Any,
    ):
        """
        Args:
            propagation: the propagation branch.
            mask_propagators: the network of the tracking method, by its name, if it has one. It
                learns in the place of the propagation branch, which then stays as it is.
            propagation_loss: the loss of either.
            frame_settings: what surrounds the network in inference, and the level of propagation.
            gt_mask_iters: iterations over which ground-truth masks, as the masks to propagate,
                give way to predicted ones.
            train_on_partner: whether the detector's losses are taken on the partner frame too.
            freeze_detector: whether only what propagates masks learns.
            segmenter_options: arguments of ``VideoSegmenter.from_options`` besides the network.
            **kwargs: those of ``GeneralizedRCNN``.
        """
        super().__init__(**kwargs)
        self.propagation = propagation
        self.mask_propagators = mask_propagators
        if len(mask_propagators):
            self.propagation.requires_grad_(False)
        self.propagation_loss = propagation_loss
        self.frame_settings = frame_settings
        self.gt_mask_iters = gt_mask_iters
        self.train_on_partner = train_on_partner
        self.freeze_detector = freeze_detector
        if freeze_detector:
            # With nothing in it to learn, autograd keeps none of its activations either.
            for part in self._detector():
                part.requires_grad_(False)
        self.segmenter = VideoSegmenter.from_options(self, **segmenter_options)

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from the config."""
        args = super().from_config(cfg)
        options = cfg.MODEL.MASKPROP
        shapes = args["backbone"].output_shape()
        level = options.PROPAGATION.IN_FEATURE
        if level not in shapes:
            raise InputError(
                f"MODEL.MASKPROP.PROPAGATION.IN_FEATURE is '{level}', but the backbone gives only "
                f"{', '.join(shapes)}"
            )
        return {
            **args,
            "propagation": PropagationBranch(**propagation_options(cfg, shapes)),
            "mask_propagators": build_mask_propagators(options.TRACKER, shapes[level].channels),
            "propagation_loss": PropagationLoss(cfg),
            "frame_settings": FrameSettings(
                input_format=cfg.INPUT.FORMAT,
                short_side=cfg.INPUT.MIN_SIZE_TEST,
                max_long_side=cfg.INPUT.MAX_SIZE_TEST,
                pixel_mean=list(cfg.MODEL.PIXEL_MEAN),
                pixel_std=list(cfg.MODEL.PIXEL_STD),
                size_divisibility=args["backbone"].size_divisibility,
                propagation_feature=level,
                propagation_stride=shapes[level].stride,
                duplicate_threshold=options.DUPLICATE_THRESH,
                precision=options.PRECISION,
            ),
            "gt_mask_iters": options.PROPAGATION.GT_MASK_ITERS,
            "train_on_partner": options.TRAIN_ON_PARTNER,
            "freeze_detector": options.FREEZE_DETECTOR,
            "segmenter_options": segmenter_options(cfg),
        }

    def _detector(self) -> tuple[nn.Module, ...]:
        """The parts of Mask R-CNN."""
        return self.backbone, self.proposal_generator, self.roi_heads

    def train(self, mode: bool = True) -> "MaskProp":
        """As in the base class, but a frozen detector stays in eval mode: its norms keep their
        statistics."""
        super().train(mode)
        if self.freeze_detector:
            for part in self._detector():
                part.eval()
        return self

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """
        Args:
            batched_inputs: in training, outputs of ``ClipPairMapper``; in inference, dicts with
                ``frames``, an iterable of (H, W, 3) uint8 RGB arrays, one dict a video.

        Returns:
            in training, losses by name (none of a frozen detector); in inference, for each video
            the dict of ``VideoTracks.as_dict``.
        """
        if not self.training:
            return [self.segmenter.segment(video["frames"]).as_dict() for video in batched_inputs]
        # One batch through the backbone: all frames t, then all their partners s.
        frames = [{"image": pair["image"]} for pair in batched_inputs]
        partners = [{"image": pair["partner_image"]} for pair in batched_inputs]
        images = self.preprocess_image(frames + partners)
        features = self.backbone(images.tensor)
        targets = [pair["instances"].to(self.device) for pair in batched_inputs]
        of_frames = {name: level[: len(frames)] for name, level in features.items()}
        if self.freeze_detector:
            losses = {}
        elif self.train_on_partner:
            partner_targets = [x["partner_instances"].to(self.device) for x in batched_inputs]
            losses = self._detector_losses(images, features, targets + partner_targets)
        else:
            sizes = images.image_sizes[: len(frames)]
            frame_images = ImageList(images.tensor[: len(frames)], sizes)
            losses = self._detector_losses(frame_images, of_frames, targets)
        masks = self._masks_to_propagate(of_frames, targets)
        name, learner = self._learner()
        maps = per_frame(learner.encode(features[self.frame_settings.propagation_feature]))
        losses[f"loss_{name}"] = self._propagation_losses(learner, maps, masks, targets)
        return losses

    def _learner(self) -> tuple[str, PropagationBranch | MaskPropagator]:
        """What learns to propagate masks, and its name: the tracking method's own network, if it
        has one."""
        for method in self.mask_propagators:
            return method, self.mask_propagator(method)
        return "propagation", self.propagation

    def _detector_losses(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Instances]
    ) -> dict[str, Tensor]:
        """The losses of Mask R-CNN."""
        proposals, losses = self.proposal_generator(images, features, targets)
        _, roi_losses = self.roi_heads(images, features, proposals, targets)
        return {**losses, **roi_losses}

    def _masks_to_propagate(
        self, features: dict[str, Tensor], targets: list[Instances]
    ) -> list[Tensor]:
        """For each ground-truth instance of each frame t the mask head's own prediction on its
        box, or early in training its ground-truth mask: B tensors (N, h, w)."""
        boxes = [x.gt_boxes for x in targets]
        predicted = self.roi_heads.predict_masks(features, boxes, [x.gt_classes for x in targets])
        height, width = features[self.frame_settings.propagation_feature].shape[-2:]
        share_of_gt = 0.0
        if self.gt_mask_iters > 0:
            share_of_gt = 1 - get_event_storage().iter / self.gt_mask_iters
        masks = []
        for box_masks, x in zip(predicted, targets, strict=True):
            if torch.rand(()) < share_of_gt:
                masks.append(self._to_grid(x.gt_masks, (height, width)))
            else:
                grid_boxes = x.gt_boxes.tensor / self.frame_settings.propagation_stride
                masks.append(paste_masks(box_masks, grid_boxes, height, width))
        return masks

    def _propagation_losses(
        self,
        learner: PropagationBranch | MaskPropagator,
        maps: list[dict[str, Tensor]],
        masks: list[Tensor],
        targets: list[Instances],
    ) -> Tensor:
        """Loss of propagating each frame t to itself and to its partner, mean over the batch."""
        losses = []
        partners = maps[len(masks) :]
        for source, partner, source_masks, x in zip(maps, partners, masks, targets, strict=False):
            if len(x) == 0:
                continue
            propagated = learner(source_masks, source, [source, partner])
            grid = propagated.shape[-2:]
            truth = [self._to_grid(x.gt_masks, grid), self._to_grid(x.partner_masks, grid)]
            losses.append(self.propagation_loss(propagated, torch.stack(truth)))
        if not losses:
            # Where many processes train, each of them must give every parameter a gradient.
            return torch.stack([x.sum() for x in learner.parameters()]).sum() * 0.0
        return torch.stack(losses).mean()

    def _to_grid(self, masks: BitMasks, grid: tuple[int, int]) -> Tensor:
        """Ground-truth masks of an unpadded image -> (N, h, w), the covered share of each cell."""
        stride = self.frame_settings.propagation_stride
        height, width = masks.tensor.shape[-2:]
        padding = (0, grid[1] * stride - width, 0, grid[0] * stride - height)
        return F.avg_pool2d(F.pad(masks.tensor[:, None].float(), padding), stride)[:, 0]

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """See ``DetectorNetwork.pyramid``."""
        return self.backbone(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        """See ``DetectorNetwork.find_objects``."""
        level = pyramid[self.frame_settings.propagation_feature]
        # In inference Detectron2 asks for the sizes alone, not for the images.
        images = ImageList(level, [image_size] * len(level))
        proposals, _ = self.proposal_generator(images, pyramid, None)
        detections, _ = self.roi_heads(images, pyramid, proposals, None)
        return [
            Detections(x.pred_boxes.tensor, x.scores, x.class_scores, x.pred_masks[:, 0])
            for x in detections
        ]
