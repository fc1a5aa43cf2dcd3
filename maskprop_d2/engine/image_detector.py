"""Detectors of Detectron2 for linking: any model that finds masks in single images."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.modeling import build_model
from torch import Tensor
from torch.nn import functional as F

from ..detections import as_detections
from ..errors import ConfigError
from ..inference.image_detector import ImageDetector, category_indices, check_complete
from ..modeling.backbone.deformable import use_torchvision_deform_conv
from ..structures import Detections
from .checkpoint import Checkpointer
from .setup import check_weights, class_names


class Detectron2Detector(ImageDetector):
    """A model of Detectron2 with the weights of ``MODEL.WEIGHTS``.

    >>> detector = Detectron2Detector(load_config(model_zoo.get_config_file(name), options))
    >>> (found,) = detector.detect(frames)
    """

    def __init__(self, cfg: Any, *, categories: Sequence[str] | None = None):
        """
        Args:
            cfg: the whole config. Frames are resized to ``INPUT.MIN_SIZE_TEST``.
            categories: names of the categories to detect (default: all).

        Raises:
            ConfigError: if the weights are missing or the model finds no masks.
            InputError: for an unknown category.
            WeightsFileError: if the file does not have all weights of the model.
        """
        self.class_names = class_names(cfg)
        self.device = torch.device(cfg.MODEL.DEVICE)
        labels = category_indices(self.class_names, categories)
        self._labels = torch.tensor(labels, device=self.device)
        self._input = cfg.INPUT
        if not cfg.MODEL.MASK_ON:
            raise ConfigError("the config is of a model without masks (MODEL.MASK_ON is False)")
        if not cfg.MODEL.WEIGHTS:
            raise ConfigError("MODEL.WEIGHTS is empty: name trained weights")
        check_weights(cfg)
        self._model = build_model(cfg).eval()
        use_torchvision_deform_conv(self._model)
        checkpointer = Checkpointer(self._model)
        checkpointer.load(cfg.MODEL.WEIGHTS)
        check_complete(cfg.MODEL.WEIGHTS, checkpointer.missing)

    @torch.inference_mode()
    def detect(self, frames: Tensor) -> list[Detections]:
        height, width = frames.shape[-2:]
        size = ResizeShortestEdge.get_output_shape(
            height, width, self._input.MIN_SIZE_TEST, self._input.MAX_SIZE_TEST
        )
        images = frames.to(self.device).float()
        if self._input.FORMAT == "BGR":
            images = images.flip(1)
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
        inputs = [{"image": image, "height": height, "width": width} for image in images]
        found = [output["instances"] for output in self._model(inputs)]
        kept = [x[torch.isin(x.pred_classes, self._labels)] for x in found]
        return [as_detections(x, (height, width)) for x in kept]
