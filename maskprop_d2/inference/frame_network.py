"""A frame network of two parts, a detector of single frames and the propagation branch: the steps
that are the same for the meta-architecture and for an exported model."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError, MissingWeightsError
from ..ops.masks import keep_distinct, paste_masks
from ..propagation import PropagationBranch, per_frame
from ..structures import FrameOutput
from ..tracking import MASK_PROPAGATORS, MaskPropagator

PRECISIONS = ("float32", "bfloat16", "float16")


class Detections(NamedTuple):
    """What the detector finds in one frame.

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


@dataclass(frozen=True)
class FrameSettings:
    """What a frame goes through before and after the network.

    Attributes:
        input_format: order of the network's colour channels, "RGB" or "BGR".
        short_side: of the resized frames, in pixels; 0: frames stay as they are.
        max_long_side: of the resized frames, in pixels.
        pixel_mean, pixel_std: of each colour channel.
        size_divisibility: the network's input is padded to a multiple of this.
        propagation_feature: name of the pyramid level that propagation works on.
        propagation_stride: stride of that level in pixels.
        duplicate_threshold: soft IoU above which a detection repeats a better one.
        precision: what the network computes in, "float32", or in mixed precision "bfloat16" or
            "float16".
    """

    input_format: str
    short_side: int
    max_long_side: int
    pixel_mean: list[float]
    pixel_std: list[float]
    size_divisibility: int
    propagation_feature: str
    propagation_stride: int
    duplicate_threshold: float
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"PRECISION is '{self.precision}': it may be {', '.join(PRECISIONS)}")

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Size of the resized frames, rounded as Detectron2's ``ResizeShortestEdge`` does it."""
        if self.short_side == 0:
            return height, width
        scale = self.short_side / min(height, width)
        scale = min(scale, self.max_long_side / max(height, width))
        return int(height * scale + 0.5), int(width * scale + 0.5)

    def prepare(self, frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The network's input for video frames.

        Args:
            frames: (B, 3, H, W) uint8 RGB.

        Returns:
            (B, 3, H', W') float images, resized, normalised and padded; and their size without
            the padding.
        """
        images = frames.float()
        if self.input_format == "BGR":
            images = images.flip(1)
        size = height, width = self.resized(*frames.shape[-2:])
        if size != frames.shape[-2:]:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        mean, std = (images.new_tensor(x)[:, None, None] for x in (self.pixel_mean, self.pixel_std))
        multiple = max(self.size_divisibility, 1)
        padding = (0, -width % multiple, 0, -height % multiple)
        images = F.pad((images - mean) / std, padding)
        # With a pixel's channels side by side convolutions are faster, on GPUs and on CPUs.
        return images.contiguous(memory_format=torch.channels_last), size


class DetectorNetwork(ABC):
    """A ``FrameNetwork`` over any detector with a feature pyramid.

    Attributes:
        frame_settings: what surrounds the network.
        propagation: the propagation branch.
        mask_propagators: the networks of tracking methods, by method.
        device: where it runs.
    """

    frame_settings: FrameSettings
    propagation: PropagationBranch
    mask_propagators: nn.ModuleDict
    device: torch.device

    @abstractmethod
    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """Levels by name, (B, C, h, w) each, of (B, 3, H', W') prepared images."""

    @abstractmethod
    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        """The detections in B images from their pyramid, and their size without the padding."""

    def detect(self, frames: Tensor) -> list[FrameOutput]:
        """See ``FrameNetwork.detect``."""
        height, width = frames.shape[-2:]
        images, image_size = self.frame_settings.prepare(frames.to(self.device))
        with self._mixed_precision():
            # Detectron2 rounds boxes to the type of the features: 16 bits would move them.
            pyramid = {k: level.float() for k, level in self.pyramid(images).items()}
            maps = self.propagation.encode(pyramid[self.frame_settings.propagation_feature])
            found = self.find_objects(pyramid, image_size)
        # These compare embeddings, and are small: in full precision.
        for method in self.mask_propagators:
            propagator = self.mask_propagator(method)
            maps |= propagator.encode(pyramid[self.frame_settings.propagation_feature])
        to_video = [width / image_size[1], height / image_size[0]] * 2
        scale = torch.tensor(to_video, device=self.device)
        return [
            self._frame_output(x, frame_maps, scale)
            for x, frame_maps in zip(found, per_frame(maps), strict=True)
        ]

    def _mixed_precision(self) -> torch.autocast:
        """The context in which the network computes."""
        precision = self.frame_settings.precision
        return torch.autocast(
            self.device.type,
            dtype=getattr(torch, precision),
            enabled=precision != "float32",
        )

    def _frame_output(
        self, found: Detections, maps: dict[str, Tensor], scale: Tensor
    ) -> FrameOutput:
        """The record of one frame; ``scale``: (4,), from input pixels to those of the video."""
        found = Detections(*(x.float() for x in found))
        stride = self.frame_settings.propagation_stride
        height, width = maps["attention"].shape[-2:]
        grid_masks = paste_masks(found.box_masks, found.boxes / stride, height, width)
        keep = keep_distinct(grid_masks, found.scores, self.frame_settings.duplicate_threshold)
        return FrameOutput(
            boxes_video=(found.boxes * scale)[keep],
            scores=found.scores[keep],
            class_scores=found.class_scores[keep],
            box_masks=found.box_masks[keep],
            grid_masks=grid_masks[keep],
            grid_box_video=scale.new_tensor([0, 0, width, height]) * stride * scale,
            maps=maps,
        )

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        """See ``FrameNetwork.propagate``."""
        with self._mixed_precision():
            propagated = self.propagation(source.grid_masks, source.maps, [x.maps for x in targets])
        return propagated.float()

    def mask_propagator(self, method: str) -> MaskPropagator:
        """See ``FrameNetwork.mask_propagator``."""
        found = dict(self.mask_propagators.items()).get(method)
        if not isinstance(found, MaskPropagator):
            raise MissingWeightsError(method, "this model")
        return found


def build_mask_propagators(tracker: str, in_channels: int) -> nn.ModuleDict:
    """The network that a tracking method needs, by its name; empty for those that need none.

    Args:
        tracker: the method.
        in_channels: C of the pyramid level that propagation works on.
    """
    names = [tracker] if tracker in MASK_PROPAGATORS else []
    return nn.ModuleDict({name: MASK_PROPAGATORS[name](in_channels) for name in names})
