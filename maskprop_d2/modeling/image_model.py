"""Detectors of single images with the ROI heads and the semantic branch of MaskProp."""

from typing import Any

from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from detectron2.modeling.postprocessing import detector_postprocess

from ..errors import InputError
from .backbone.deformable import use_torchvision_deform_conv
from .roi_heads.semantic import EMBEDDING, SemanticBranch


@META_ARCH_REGISTRY.register()
class HybridTaskCascade(GeneralizedRCNN):
    """The detector of ``MaskProp`` alone, for inference on images as Detectron2's models."""

    @configurable
    def __init__(self, *, semantic_branch: SemanticBranch | None, **kwargs: Any):
        """
        Args:
            semantic_branch: the semantic branch, or None.
            **kwargs: arguments of ``GeneralizedRCNN``.
        """
        super().__init__(**kwargs)
        self.semantic_branch = semantic_branch

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from the config."""
        args = super().from_config(cfg)
        use_torchvision_deform_conv(args["backbone"])
        enabled = cfg.MODEL.MASKPROP.SEMANTIC.ENABLED
        branch = SemanticBranch(cfg, args["backbone"].output_shape()) if enabled else None
        return {**args, "semantic_branch": branch}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """
        Args:
            batched_inputs: a dict for each image with ``image``, (3, H', W'), and the ``height``
                and ``width`` of the output (default: those of the image).

        Returns:
            a dict with ``instances`` for each image.

        Raises:
            InputError: in training mode.
        """
        if self.training:
            raise InputError(
                "HybridTaskCascade is for inference: train MODEL.META_ARCHITECTURE MaskProp"
            )
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        if self.semantic_branch is not None:
            _, features[EMBEDDING] = self.semantic_branch(features)
        proposals, _ = self.proposal_generator(images, features, None)
        found, _ = self.roi_heads(images, features, proposals, None)
        outputs = []
        for x, instances, size in zip(batched_inputs, found, images.image_sizes, strict=True):
            height, width = x.get("height", size[0]), x.get("width", size[1])
            outputs.append({"instances": detector_postprocess(instances, height, width)})
        return outputs
