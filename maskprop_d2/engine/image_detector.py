"""Detectors of Detectron2 for linking: any model that finds masks in single images."""

from collections.abc import Iterator, Sequence
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

    def prepare(self, frame: Tensor) -> Tensor:
        size = ResizeShortestEdge.get_output_shape(
            frame.shape[1], frame.shape[2], self._input.MIN_SIZE_TEST, self._input.MAX_SIZE_TEST
        )
        image = frame[None].to(self.device).float()
        if self._input.FORMAT == "BGR":
            image = image.flip(1)
        return F.interpolate(image, size, mode="bilinear", antialias=True)[0]

    def detect_batch(
        self, images: Tensor, frame_sizes: Sequence[tuple[int, int]]
    ) -> Iterator[Detections]:
        inputs = [
            {"image": image, "height": height, "width": width}
            for image, (height, width) in zip(images, frame_sizes, strict=True)
        ]
        for output, frame_size in zip(self._model(inputs), frame_sizes, strict=True):
            found = output["instances"]
            kept = found[torch.isin(found.pred_classes, self._labels)]
            yield as_detections(kept, frame_size)
