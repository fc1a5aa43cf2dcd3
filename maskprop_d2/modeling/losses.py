"""The losses of the networks beside the detector, all of one form: :class:`Loss`."""

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..networks.base import COLORS, FrameSettings
from ..networks.propagation import per_frame
from ..ops.masks import paste_masks
from ..ops.soft_iou import soft_iou_terms
from .propagation_monitor import PropagationMonitor
from .training_clips import ClipBatch, jitter_boxes, masks_in_frame, masks_on_grid, sample_regions

MAX_CERTAINTY = 1 - 1e-4
"""Cross entropy gets probabilities pulled towards 1/2 by this factor. Where they round to 1, the
gradient would be a huge number times a rounding error."""


class Loss(ABC):
    """A loss of one network.

    Attributes:
        network_name: name of the network in the model.
        weight: multiplier of the loss; the model applies it.
    """

    def __init__(self, network_name: str, weight: float):
        self.network_name = network_name
        self.weight = weight

    @abstractmethod
    def __call__(self, network: Any, batch: ClipBatch) -> Tensor:
        """Compute the loss, a scalar.

        It depends on all parameters of the network even if there is no object, since
        ``DistributedDataParallel`` waits for all gradients.
        """


def build_losses(
    cfg: Any, names: Container[str], settings: FrameSettings, monitor: PropagationMonitor
) -> dict[str, Loss]:
    """Build the losses of a model by their names in the log.

    Args:
        cfg: the whole config.
        names: names of the model's networks.
        settings: settings of the model.
        monitor: receives propagated masks.

    Returns:
        those whose networks exist and whose weights are above 0.
    """
    options = cfg.MODEL.MASKPROP
    # The network of a tracking method is trained in place of the propagation branch.
    learner = learner_name = "propagation"
    if "mask_propagators" in names:
        learner, learner_name = options.TRACKER, f"mask_propagators.{options.TRACKER}"
    propagation = options.PROPAGATION
    losses: dict[str, Loss] = {
        "masktrack": EmbeddingLoss("embedding", options.MASKTRACK.LOSS_WEIGHT),
        "refinement": RefinementLoss("refinement", options.REFINEMENT.LOSS_WEIGHT),
        "crop_classifier": CropClassifierLoss("crop_classifier", 1.0),
        learner: PropagationLoss(
            learner_name,
            propagation.LOSS_WEIGHT,
            kind=propagation.LOSS,
            space_time=propagation.SPACE_TIME_LOSS,
            gt_mask_iters=propagation.GT_MASK_ITERS,
            settings=settings,
            monitor=monitor,
        ),
    }
    return {
        name: loss
        for name, loss in losses.items()
        if loss.weight > 0 and loss.network_name.split(".")[0] in names
    }


class PropagationLoss(Loss):
    """1 - soft IoU (Eq. 2) of the key frame's masks, propagated to all frames of a clip, and of
    ground-truth masks, mean over instances and frames.

    The mean (the paper sums) keeps the loss in [0, 1] for any clip length and N. If an instance is
    not visible in a frame, its target is empty: only then one cell is added to numerator and
    denominator, so that predicting nothing is rewarded.
    """

    def __init__(
        self,
        network_name: str,
        weight: float,
        *,
        kind: str,
        space_time: bool,
        gt_mask_iters: int,
        settings: FrameSettings,
        monitor: PropagationMonitor,
    ):
        """
        Args:
            network_name, weight: attributes of ``Loss``.
            kind: "soft_iou", or "soft_iou_ce" to add binary cross entropy.
            space_time: whether to sum numerator and denominator over the frames before dividing.
            gt_mask_iters: iterations over which ground-truth masks, as the masks to propagate, are
                gradually replaced by predicted ones.
            settings: settings of the model.
            monitor: receives the propagated masks.
        """
        super().__init__(network_name, weight)
        if kind not in ("soft_iou", "soft_iou_ce"):
            raise InputError(f"PROPAGATION.LOSS must be 'soft_iou' or 'soft_iou_ce', got '{kind}'")
        self.cross_entropy = kind == "soft_iou_ce"
        self.space_time = space_time
        self.gt_mask_iters = gt_mask_iters
        self.settings = settings
        self.monitor = monitor

    def __call__(self, network: Any, batch: ClipBatch) -> Tensor:
        level = batch.pyramid[self.settings.propagation_feature]
        grid, stride = level.shape[-2:], self.settings.propagation_stride
        maps = per_frame(network.encode(level, batch.pyramid[COLORS]))
        losses = []
        for i, clip in enumerate(batch.clips):
            objects = batch.objects[i :: len(batch.clips)]
            if len(objects[0]) == 0:
                continue
            masks = self._source_masks(objects[0], batch.box_masks[i], grid)
            propagated = network(masks, maps[i], maps[i :: len(batch.clips)])
            targets = torch.stack([masks_in_frame(objects[0], x, grid, stride) for x in objects])
            losses.append(self.compare(propagated, targets))
            self.monitor.update(clip, masks, propagated, targets)
        return mean_or_zero(losses, network)

    def _source_masks(self, objects: Instances, box_masks: Tensor, grid: Sequence[int]) -> Tensor:
        """(N, h, w) masks to propagate: predicted ones or, early in training, ground truth."""
        stride = self.settings.propagation_stride
        if self.gt_mask_iters > 0:
            gt_probability = 1 - get_event_storage().iter / self.gt_mask_iters
            if torch.rand(()) < gt_probability:
                return masks_on_grid(objects.gt_masks, grid, stride)
        return paste_masks(box_masks.float(), objects.gt_boxes.tensor / stride, *grid)

    def compare(self, masks: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of one clip.

        Args:
            masks: (S, N, h, w) propagated soft masks, N > 0.
            targets: (S, N, h, w) ground truth in [0, 1].

        Returns:
            scalar
        """
        intersection, union = soft_iou_terms(masks.flatten(2), targets.flatten(2))
        area = targets.flatten(2).sum(2)
        if self.space_time:
            intersection, union, area = (x.sum(0) for x in (intersection, union, area))
        empty = area == 0
        soft_iou = (intersection + empty) / (union + empty).clamp(min=1e-6)
        loss = (1 - soft_iou).mean()
        if self.cross_entropy:
            # Autocast does not allow cross entropy of probabilities.
            with torch.autocast(masks.device.type, enabled=False):
                probabilities = MAX_CERTAINTY * (masks.float() - 0.5) + 0.5
                loss = loss + F.binary_cross_entropy(probabilities, targets.float())
        return loss


class EmbeddingLoss(Loss):
    """Cross entropy of which object of a partner each region of the key frame shows, if any.

    Logits are dot products of the embeddings of regions around the key frame's objects and of the
    partner's ground-truth boxes; the logit of a new object is 0. The loss is the mean over the
    regions of all key frames and their partners.
    """

    regions_per_object = 8

    def __call__(self, network: Any, batch: ClipBatch) -> Tensor:
        clips = len(batch.clips)
        sampled = [
            sample_regions(x.gt_boxes.tensor, self.regions_per_object) for x in batch.key_objects
        ]
        partners = batch.objects[clips:]
        boxes = [*(regions for regions, _ in sampled), *(x.gt_boxes.tensor for x in partners)]
        embeddings = network(batch.pyramid, boxes)
        total = torch.zeros((), device=embeddings[0].device)
        for i, (known, partner) in enumerate(zip(embeddings[clips:], partners, strict=True)):
            clip = i % clips
            logits = matching_logits(embeddings[clip], known)
            owners = sampled[clip][1]
            same = batch.objects[clip].gt_ids[owners][:, None] == partner.gt_ids
            # Column 0 stands for objects that are not in the partner.
            labels = F.pad(same, (1, 0)).float().argmax(1)
            total = total + F.cross_entropy(logits, labels, reduction="sum")
        count = len(partners) // clips * sum(len(owners) for _, owners in sampled)
        return total / max(1, count)


class RefinementLoss(Loss):
    """Cross entropy of refined masks, mean over the objects of the key frames.

    The masks are those of the mask head, which gets a gradient too, on boxes that are about as far
    off as detected ones. On exact boxes the network would learn that objects end where boxes do.
    """

    def __call__(self, network: Any, batch: ClipBatch) -> Tensor:
        boxes = [Boxes(jitter_boxes(x.gt_boxes.tensor, 0.5)) for x in batch.key_objects]
        for image_boxes, x in zip(boxes, batch.key_objects, strict=True):
            image_boxes.clip(x.image_size)
        masks = batch.predict_masks(boxes)
        losses = []
        images = batch.images[: len(boxes)]
        for image, x, box, mask in zip(images, batch.key_objects, boxes, masks, strict=True):
            crops = network.crop_boxes(box.tensor)
            logits = network(image, mask, box.tensor, crops)
            target = x.gt_masks.crop_and_resize(crops, network.crop_size).to(logits.dtype)
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            losses.append(loss.flatten(1).mean(1))
        return mean_or_zero(losses, network)


class CropClassifierLoss(Loss):
    """Cross entropy of the categories of regions around the key frames' objects, mean over them.

    Regions are shown with the masks that the mask head predicts, which gets no gradient.
    """

    regions_per_object = 3

    def __call__(self, network: Any, batch: ClipBatch) -> Tensor:
        losses = []
        images = batch.images[: len(batch.clips)]
        for image, x, masks in zip(images, batch.key_objects, batch.box_masks, strict=True):
            boxes = x.gt_boxes.tensor
            regions, owners = sample_regions(boxes, self.regions_per_object)
            logits = network(image, masks[owners], boxes[owners], regions)
            losses.append(F.cross_entropy(logits.float(), x.gt_classes[owners], reduction="none"))
        return mean_or_zero(losses, network)


def mean_or_zero(losses: list[Tensor], network: nn.Module) -> Tensor:
    """The mean of all elements; without any, zero that depends on all parameters of the network."""
    if any(x.numel() for x in losses):
        return torch.cat([x.flatten() for x in losses]).mean()
    return torch.stack([x.sum() for x in network.parameters()]).sum() * 0.0


def matching_logits(found: Tensor, known: Tensor) -> Tensor:
    """(N, E) and (Y, E) embeddings -> (N, Y+1) logits; column 0 is for a new object."""
    # 16 bits would round away what distinguishes objects.
    with torch.autocast(found.device.type, enabled=False):
        return F.pad(found @ known.T, (1, 0))
