"""A frame network made of a detector, the propagation branch and optional parts."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import MissingWeightsError
from ..networks.base import COLORS, FrameBatch, FrameSettings, Part
from ..networks.propagation import PropagationBranch, per_frame
from ..ops.masks import paste_masks, suppress
from ..ops.soft_iou import pairwise_containment
from ..structures import FrameOutput, detected_labels
from ..tracking import MaskPropagator
from .parts import NETWORKS


class Detections(NamedTuple):
    """The detections in one frame.

    Attributes:
        boxes: (N, 4) in pixels of the network's input.
        scores: (N,) scores in [0, 1] of the detected categories.
        class_scores: (N, K+1) softmax vectors.
        box_masks: (N, m, m) soft masks inside the boxes.
    """

    boxes: Tensor
    scores: Tensor
    class_scores: Tensor
    box_masks: Tensor


class DetectorNetwork(nn.Module, ABC):
    """A ``FrameNetwork`` over any detector with a feature pyramid: inference of the
    meta-architecture and of exported models.

    Attributes:
        frame_settings: how frames are processed.
        propagation: the propagation branch.
        device: where the network runs.
        labels: category indices to detect; class scores of others are 0. None to detect all.
    """

    frame_settings: FrameSettings
    propagation: PropagationBranch
    device: torch.device
    labels: list[int] | None = None

    @property
    def parts(self) -> dict[str, Part]:
        """The optional parts by name, in the order in which they run."""
        children = dict(self.named_children())
        parts = {name: children.get(name) for name in NETWORKS}
        return {name: part for name, part in parts.items() if isinstance(part, Part)}

    @abstractmethod
    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the feature pyramid of images that do not influence each other.

        Args:
            images: (B, 3, H', W') prepared images.

        Returns:
            levels by name, (B, C, h, w) each.
        """

    @abstractmethod
    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        """Detect objects in B images.

        Args:
            pyramid: levels by name, (B, C, h, w) each.
            image_size: height and width of the images without the padding.
        """

    def detect(self, frames: Tensor) -> list[FrameOutput]:
        return list(self.detect_stream([frames]))

    def detect_stream(self, batches: Iterable[Tensor]) -> Iterator[FrameOutput]:
        encoded: Iterator[FrameBatch] = map(self._encode, batches)
        for part in self.parts.values():
            encoded = part.enhance_stream(encoded)
        # No batch is kept while the next one is encoded.
        return chain.from_iterable(map(self._detect, encoded))

    def _encode(self, frames: Tensor) -> FrameBatch:
        """Move frames to the device and compute their pyramid."""
        frames = frames.to(self.device)
        images, _ = self.frame_settings.prepare(frames)
        with self._mixed_precision():
            # Detectron2 rounds boxes to the type of the features: 16 bits would move them.
            pyramid = {name: level.float() for name, level in self.pyramid(images).items()}
        pyramid[COLORS] = self.frame_settings.colors(images)
        return FrameBatch(frames, pyramid, self.frame_settings)

    def _detect(self, batch: FrameBatch) -> list[FrameOutput]:
        """Compute the outputs of B frames from their pyramid."""
        settings = self.frame_settings
        image_size = settings.resized(*batch.frames.shape[-2:])
        scale = settings.scale_to_video(batch.frames)
        with self._mixed_precision():
            maps = self.propagation.encode(
                batch.pyramid[settings.propagation_feature], batch.pyramid[COLORS]
            )
            found = self.find_objects(batch.pyramid, image_size)
        outputs = [
            self._frame_output(x, frame_maps, scale)
            for x, frame_maps in zip(found, per_frame(maps), strict=True)
        ]
        with self._mixed_precision():
            for part in self.parts.values():
                part.observe(batch, outputs)
        return outputs

    def _mixed_precision(self) -> torch.autocast:
        precision = self.frame_settings.precision
        return torch.autocast(
            self.device.type, dtype=getattr(torch, precision), enabled=precision != "float32"
        )

    def _frame_output(
        self, found: Detections, maps: dict[str, Tensor], scale: Tensor
    ) -> FrameOutput:
        """Drop duplicates and paste the masks onto the propagation grid.

        Args:
            found: detections of one frame.
            maps: its maps for propagation, each (channels, h, w).
            scale: (4,) factors from input pixels to video pixels.
        """
        found = Detections(*(x.float() for x in found))
        stride = self.frame_settings.propagation_stride
        height, width = maps["attention"].shape[-2:]
        grid_masks = paste_masks(found.box_masks, found.boxes / stride, height, width)
        flat = grid_masks.flatten(1)
        same = pairwise_containment(flat, flat) > self.frame_settings.duplicate_threshold
        keep = suppress(same, found.scores)
        class_scores = found.class_scores
        if self.labels is not None:
            labels = detected_labels(found.scores, class_scores)[keep]
            keep = keep[torch.isin(labels, labels.new_tensor(self.labels))]
            class_scores = torch.zeros_like(class_scores)
            class_scores[:, self.labels] = found.class_scores[:, self.labels]
        return FrameOutput(
            boxes_video=(found.boxes * scale)[keep],
            scores=found.scores[keep],
            class_scores=class_scores[keep],
            box_masks=found.box_masks[keep],
            grid_masks=grid_masks[keep],
            grid_box_video=scale.new_tensor([0, 0, width, height]) * stride * scale,
            maps=maps,
        )

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        with self._mixed_precision():
            propagated = self.propagation(source.grid_masks, source.maps, [x.maps for x in targets])
        return propagated.float()

    def mask_propagator(self, method: str) -> MaskPropagator:
        found = dict(self.named_modules()).get(f"mask_propagators.{method}")
        if not isinstance(found, MaskPropagator):
            raise MissingWeightsError(method, "this model")
        return found
