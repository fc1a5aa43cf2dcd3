"""A frame network of two parts, a detector of single frames and the propagation branch: the steps
that are the same for the meta-architecture and for an exported model."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, starmap
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError, MissingWeightsError
from ..networks.crop_classifier import CropClassifier
from ..networks.embedding import EmbeddingHead
from ..networks.propagation import PropagationBranch, per_frame
from ..networks.refinement import MaskRefinement
from ..networks.stsn import SpatiotemporalSampling
from ..ops.masks import mask_nms, paste_masks
from ..structures import FrameOutput
from ..tracking import MASK_PROPAGATORS, MaskPropagator
from .support_window import Batch, SupportWindow

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
        return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)

    def prepare(self, frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The network's input for video frames.

        Args:
            frames: (B, 3, H, W) uint8 RGB.

        Returns:
            (B, 3, H', W') float images, resized, normalised and padded; and their size without
            the padding.
        """
        images = self._ordered(frames)
        size = self.resized(*frames.shape[-2:])
        if size != frames.shape[-2:]:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        images = self.padded(self._normalised(images))
        # With a pixel's channels side by side convolutions are faster, on GPUs and on CPUs.
        return images.contiguous(memory_format=torch.channels_last), size

    def padded(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) normalised images -> with sides that the network can divide."""
        height, width = images.shape[-2:]
        multiple = max(self.size_divisibility, 1)
        return F.pad(images, (0, -width % multiple, 0, -height % multiple))

    def at_video_resolution(self, frame: Tensor) -> Tensor:
        """A (3, H, W) uint8 RGB frame as the network's input is, but of its own size."""
        return self._normalised(self._ordered(frame))

    def _ordered(self, images: Tensor) -> Tensor:
        """(..., 3, H, W) uint8 RGB -> float, in the order of the network's channels."""
        return images.float().flip(-3) if self.input_format == "BGR" else images.float()

    def _normalised(self, images: Tensor) -> Tensor:
        mean, std = (images.new_tensor(x)[:, None, None] for x in (self.pixel_mean, self.pixel_std))
        return (images - mean) / std


class DetectorNetwork(ABC):
    """A ``FrameNetwork`` over any detector with a feature pyramid.

    Attributes:
        frame_settings: what surrounds the network.
        stsn: samples supporting frames into each one's pyramid, or None.
        propagation: the propagation branch.
        refinement: makes masks of high resolution, or None.
        embedding: the embedding head of MaskTrack R-CNN, or None.
        crop_classifier: the crop classifier of EnsembleVIS, or None.
        mask_propagators: the networks of tracking methods, by method.
        device: where it runs.
    """

    frame_settings: FrameSettings
    stsn: SpatiotemporalSampling | None
    propagation: PropagationBranch
    refinement: MaskRefinement | None
    embedding: EmbeddingHead | None
    crop_classifier: CropClassifier | None
    mask_propagators: nn.ModuleDict
    device: torch.device

    @abstractmethod
    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """Levels by name, (B, C, h, w) each, of (B, 3, H', W') prepared images, each by itself."""

    @abstractmethod
    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        """The detections in B images from their pyramid, and their size without the padding."""

    def detect(self, frames: Tensor) -> list[FrameOutput]:
        """See ``FrameNetwork.detect``."""
        return list(self.detect_stream([frames]))

    def detect_stream(self, batches: Iterable[Tensor]) -> Iterator[FrameOutput]:
        """See ``FrameNetwork.detect_stream``."""
        encoded: Iterator[Batch] = map(self._encode, batches)
        if self.stsn is not None:
            # In full precision: most of it is an operator that knows no other.
            encoded = SupportWindow(self.stsn).stream(encoded)
        # Nothing of a batch is held here while the next one is encoded.
        return chain.from_iterable(starmap(self._detect, encoded))

    def _encode(self, frames: Tensor) -> Batch:
        """The frames, where the network runs, and their pyramid."""
        frames = frames.to(self.device)
        images, _ = self.frame_settings.prepare(frames)
        with self._mixed_precision():
            # Detectron2 rounds boxes to the type of the features: 16 bits would move them.
            return frames, {k: level.float() for k, level in self.pyramid(images).items()}

    def _detect(self, frames: Tensor, pyramid: dict[str, Tensor]) -> list[FrameOutput]:
        """All that follows the pyramid."""
        height, width = frames.shape[-2:]
        image_size = self.frame_settings.resized(height, width)
        with self._mixed_precision():
            maps = self.propagation.encode(pyramid[self.frame_settings.propagation_feature])
            found = self.find_objects(pyramid, image_size)
        # These compare embeddings, and are small: in full precision.
        for method in self.mask_propagators:
            propagator = self.mask_propagator(method)
            maps |= propagator.encode(pyramid[self.frame_settings.propagation_feature])
        to_video = [width / image_size[1], height / image_size[0]] * 2
        scale = torch.tensor(to_video, device=self.device)
        outputs = [
            self._frame_output(x, frame_maps, scale)
            for x, frame_maps in zip(found, per_frame(maps), strict=True)
        ]
        if self.crop_classifier is not None:
            for frame, output in zip(frames, outputs, strict=True):
                self._classify(frame, output)
        if self.refinement is not None:
            for frame, output in zip(frames, outputs, strict=True):
                self._refine(frame, output)
        if self.embedding is not None:
            boxes = [x.boxes_video / scale for x in outputs]
            with self._mixed_precision():
                embeddings = self.embedding(pyramid, boxes)
            for output, vectors in zip(outputs, embeddings, strict=True):
                output.embeddings = vectors
        return outputs

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
        keep = mask_nms(grid_masks, found.scores, self.frame_settings.duplicate_threshold)
        return FrameOutput(
            boxes_video=(found.boxes * scale)[keep],
            scores=found.scores[keep],
            class_scores=found.class_scores[keep],
            box_masks=found.box_masks[keep],
            grid_masks=grid_masks[keep],
            grid_box_video=scale.new_tensor([0, 0, width, height]) * stride * scale,
            maps=maps,
        )

    def _classify(self, frame: Tensor, output: FrameOutput) -> None:
        """Add what the crop classifier says to a (3, H, W) uint8 frame's record."""
        assert self.crop_classifier is not None
        image, boxes = self.frame_settings.at_video_resolution(frame), output.boxes_video
        with self._mixed_precision():
            logits = self.crop_classifier(image, output.box_masks, boxes, boxes)
        output.crop_scores = logits.float().softmax(1)

    def _refine(self, frame: Tensor, output: FrameOutput) -> None:
        """Replace the masks of a (3, H, W) uint8 frame's record by refined ones."""
        assert self.refinement is not None
        image = self.frame_settings.at_video_resolution(frame)
        crops = self.refinement.crop_boxes(output.boxes_video)
        with self._mixed_precision():
            logits = self.refinement(image, output.box_masks, output.boxes_video, crops)
        output.box_masks, output.crops_video = logits.float().sigmoid(), crops

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


def build_mask_propagators(**in_channels: int) -> nn.ModuleDict:
    """The networks of tracking methods: for each method C of its pyramid level."""
    return nn.ModuleDict({name: MASK_PROPAGATORS[name](c) for name, c in in_channels.items()})
