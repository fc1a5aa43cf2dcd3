"""The meta-architecture: Mask R-CNN on every frame, and mask propagation between frames."""

from functools import partial
from typing import Any

from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from ..inference.detector_network import Detections, DetectorNetwork
from ..inference.parts import build_networks
from ..inference.segmenter import VideoSegmenter
from ..networks.base import COLORS, FrameSettings
from .backbone.deformable import use_torchvision_deform_conv
from .losses import Loss, build_losses
from .options import frame_settings, network_options, segmenter_options
from .propagation_monitor import PropagationMonitor
from .roi_heads.semantic import EMBEDDING, SemanticBranch
from .training_clips import ClipBatch

DETECTOR = ("backbone", "stsn", "proposal_generator", "roi_heads", "semantic_branch")
"""Names of the modules that find the objects of a frame, and that the detector's losses train."""


@META_ARCH_REGISTRY.register()
class MaskProp(DetectorNetwork, GeneralizedRCNN):
    """Video Mask R-CNN (Sec. 4.1 of the paper).

    In training it takes clips and returns losses; in inference it takes videos and returns tracks.
    Streaming inference uses it as a ``FrameNetwork``.
    """

    backbone: Any
    proposal_generator: Any
    roi_heads: Any
    semantic_branch: SemanticBranch | None

    @configurable
    def __init__(
        self,
        *,
        networks: dict[str, nn.Module],
        losses: dict[str, Loss],
        semantic_branch: SemanticBranch | None,
        frame_settings: FrameSettings,
        propagation_monitor: PropagationMonitor,
        train_on_partner: bool,
        segmenter_options: dict[str, Any],
        **kwargs: Any,
    ):
        """
        Args:
            networks: the propagation branch and optional parts, by name.
            losses: losses of these networks, by their names in the log.
            semantic_branch: the semantic branch of the detector, or None.
            frame_settings: how frames are processed.
            propagation_monitor: collects how well masks are propagated in training.
            train_on_partner: whether partners contribute to the detector's losses too.
            segmenter_options: arguments of ``VideoSegmenter.from_options`` besides the network.
            **kwargs: arguments of ``GeneralizedRCNN``.
        """
        super().__init__(**kwargs)
        self.losses = losses
        self.semantic_branch = semantic_branch
        self.frame_settings = frame_settings
        self.propagation_monitor = propagation_monitor
        self.train_on_partner = train_on_partner
        trained = {*DETECTOR, *(x.network_name.split(".")[0] for x in losses.values())}
        for name, network in networks.items():
            self.add_module(name, network)
            # DistributedDataParallel would wait for gradients that no loss gives.
            network.requires_grad_(name in trained)
        self.segmenter = VideoSegmenter.from_options(self, **segmenter_options)

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from the config."""
        quiet = cfg.clone()
        quiet.defrost()
        # Detectron2's mask heads would write more than a hundred crops for each image of ours.
        quiet.VIS_PERIOD = 0
        args = super().from_config(quiet)
        use_torchvision_deform_conv(args["backbone"])
        shapes = args["backbone"].output_shape()
        settings = frame_settings(cfg, args["backbone"])
        networks = build_networks(network_options(cfg, shapes))
        monitor = PropagationMonitor(cfg.VIS_PERIOD, cfg.INPUT.FORMAT, settings.propagation_stride)
        semantic = cfg.MODEL.MASKPROP.SEMANTIC.ENABLED
        return {
            **args,
            "vis_period": cfg.VIS_PERIOD,
            "networks": networks,
            "losses": build_losses(cfg, networks, settings, monitor),
            "semantic_branch": SemanticBranch(cfg, shapes) if semantic else None,
            "frame_settings": settings,
            "propagation_monitor": monitor,
            "train_on_partner": cfg.MODEL.MASKPROP.TRAIN_ON_PARTNER,
            "segmenter_options": segmenter_options(cfg),
        }

    @property
    def detector(self) -> list[nn.Module]:
        """The modules of ``DETECTOR`` that the model has."""
        return [module for name, module in self.named_children() if name in DETECTOR]

    def train(self, mode: bool = True) -> "MaskProp":
        """Set the mode, but keep a frozen detector, and single frozen norms, in eval mode: they
        keep their statistics."""
        super().train(mode)
        for module in self.modules():
            weights = list(module.parameters(recurse=False))
            has_statistics = getattr(module, "running_mean", None) is not None
            if has_statistics and weights and not any(x.requires_grad for x in weights):
                module.eval()
        if not is_trainable(*self.detector):
            for module in self.detector:
                module.eval()
        return self

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """
        Args:
            batched_inputs: in training, outputs of ``ClipMapper``; in inference, one dict for each
                video with ``frames``, an iterable of (H, W, 3) uint8 RGB arrays.

        Returns:
            in training, losses by name; in inference, ``VideoTracks.as_dict`` of each video.
        """
        if not self.training:
            return [self.segmenter.segment(video["frames"]).as_dict() for video in batched_inputs]
        clips = [x["clip"] for x in batched_inputs]
        # The key frames of all clips, then all first partners, and so on.
        frames = [frame for place in zip(*clips, strict=True) for frame in place]
        images = self.preprocess_image(frames)
        pyramid = self.backbone(images.tensor)
        pyramid[COLORS] = self.frame_settings.colors(images.tensor)
        for part in self.parts.values():
            pyramid = part.enhance_clips(pyramid, len(clips))
        objects = [x["instances"].to(self.device) for x in frames]
        losses, detector_pyramid = self._detector_losses(
            images, pyramid, frames, objects, len(clips)
        )
        key_pyramid = {name: level[: len(clips)] for name, level in detector_pyramid.items()}
        mask_head = partial(self.roi_heads.predict_masks, key_pyramid)
        batch = ClipBatch(clips, images.tensor, pyramid, objects, mask_head)
        for name, loss in self.losses.items():
            network = self.get_submodule(loss.network_name)
            if is_trainable(network, *self.detector):
                losses[f"loss_{name}"] = loss.weight * loss(network, batch)
        return losses

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalize and batch images; also pad them as backbones other than ResNets require."""
        images = super().preprocess_image(batched_inputs)
        return ImageList(self.frame_settings.pad(images.tensor), images.image_sizes)

    def _detector_losses(
        self,
        images: ImageList,
        pyramid: dict[str, Tensor],
        frames: list[dict[str, Any]],
        objects: list[Instances],
        num_clips: int,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the losses of the key frames, or of all frames with ``train_on_partner``.

        Returns:
            the losses, none if the detector is frozen; and the pyramid of these frames with the
            semantic embedding.
        """
        learns = is_trainable(*self.detector)
        count = len(frames) if self.train_on_partner and learns else num_clips
        pyramid = {name: level[:count] for name, level in pyramid.items()}
        losses = {}
        if self.semantic_branch is not None:
            logits, pyramid[EMBEDDING] = self.semantic_branch(pyramid)
            if learns:
                maps = [x["sem_seg"] for x in frames[:count]]
                losses["loss_semantic"] = self.semantic_branch.loss(logits, maps)
        if learns:
            images = ImageList(images.tensor[:count], images.image_sizes[:count])
            objects = objects[:count]
            proposals, rpn_losses = self.proposal_generator(images, pyramid, objects)
            _, roi_losses = self.roi_heads(images, pyramid, proposals, objects)
            losses.update(**rpn_losses, **roi_losses)
        return losses, pyramid

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        return self.backbone(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        if self.semantic_branch is not None:
            _, embedding = self.semantic_branch(pyramid)
            pyramid = {**pyramid, EMBEDDING: embedding}
        level = pyramid[self.frame_settings.propagation_feature]
        # In inference Detectron2 uses only the sizes of the images.
        images = ImageList(level, [image_size] * len(level))
        proposals, _ = self.proposal_generator(images, pyramid, None)
        detections, _ = self.roi_heads(images, pyramid, proposals, None)
        return [
            Detections(x.pred_boxes.tensor, x.scores, x.class_scores, x.pred_masks[:, 0])
            for x in detections
        ]


def is_trainable(*modules: nn.Module) -> bool:
    """Whether any parameter of the modules requires a gradient."""
    return any(x.requires_grad for module in modules for x in module.parameters())
