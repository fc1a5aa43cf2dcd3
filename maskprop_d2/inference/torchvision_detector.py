"""Torchvision's Mask R-CNN, trained on COCO; needs no Detectron2."""

import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import (
    MaskRCNN,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from ..detections import as_detections
from ..devices import choose_device
from ..errors import WeightsFileError
from ..structures import Detections
from ..ytvis.categories import COCO
from .image_detector import (
    MAX_SIDE,
    SHORT_SIDE,
    ImageDetector,
    category_indices,
    check_complete,
)

NUM_LABELS = 91
"""Torchvision's labels are COCO's ids, of which 11 are not used, and 0 for the background."""


def _resnet50_fpn(**options: float) -> MaskRCNN:
    """``torchvision.models.detection.maskrcnn_resnet50_fpn`` as it is with trained weights, whose
    normalisation is frozen and adds nothing to the variance."""
    norm = partial(FrozenBatchNorm2d, eps=0.0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=norm)
    return MaskRCNN(backbone, num_classes=NUM_LABELS, **options)


def _resnet50_fpn_v2(**options: float) -> MaskRCNN:
    return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **options)


BUILDERS = {
    "maskrcnn_resnet50_fpn": _resnet50_fpn,
    "maskrcnn_resnet50_fpn_v2": _resnet50_fpn_v2,
}
"""Functions that build the models by torchvision's names for them."""


class TorchvisionDetector(ImageDetector):
    """Detects COCO's 80 categories.

    >>> detector = TorchvisionDetector("maskrcnn_resnet50_fpn", "maskrcnn_..._coco-bf2d0c1e.pth")
    >>> (found,) = detector.detect(frames)
    """

    def __init__(
        self,
        name: str,
        weights: str | Path,
        *,
        score_threshold: float = 0.5,
        categories: Sequence[str] | None = None,
        short_side: int = SHORT_SIDE,
        device: str | torch.device | None = None,
    ):
        """
        Args:
            name: a name in ``BUILDERS``.
            weights: file with the model's ``state_dict``.
            score_threshold: drop detections scored below this.
            categories: names of the categories to detect (default: all).
            short_side: frames are resized to this short side in pixels, and a long side of at most
                5/3 of it. The weights were trained with 800; smaller is faster.
            device: where to run (default: a GPU if there is one).

        Raises:
            InputError: for an unknown category.
            WeightsFileError: if the file does not have the weights of the model.
        """
        self.class_names = list(COCO.values())
        self.device = choose_device(device)
        wanted = category_indices(self.class_names, categories)
        self._model = BUILDERS[name](
            box_score_thresh=score_threshold,
            min_size=short_side,
            max_size=short_side * MAX_SIDE // SHORT_SIDE,
        )
        _load(self._model, Path(weights))
        self._model.to(self.device).eval()
        # For each of the labels the category's index, or -1 if it is not wanted.
        self._index = torch.full((NUM_LABELS,), -1, device=self.device)
        for index in wanted:
            self._index[list(COCO)[index]] = index

    def prepare(self, frame: Tensor) -> Tensor:
        images, _ = self._model.transform([frame.to(self.device) / 255])
        ((height, width),) = images.image_sizes
        return images.tensors[0, :, :height, :width]

    def detect_batch(
        self, images: Tensor, frame_sizes: Sequence[tuple[int, int]]
    ) -> Iterator[Detections]:
        model = self._model
        size = images.shape[2], images.shape[3]
        padded = model.transform.batch_images(list(images), model.transform.size_divisible)
        inputs = ImageList(padded, [size] * len(images))
        # Torchvision derives these from the first frame that it ever sees. For frames of less than
        # about 75 pixels, that is wrong for other sizes.
        for pool in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool):
            pool.scales = None
        features = model.backbone(padded)
        proposals, _ = model.rpn(inputs, features)
        batch, _ = model.roi_heads(features, proposals, inputs.image_sizes)
        for found, frame_size in zip(batch, frame_sizes, strict=True):
            # One frame at a time: the soft masks of a batch, in full size, could fill the memory.
            (pasted,) = model.transform.postprocess([dict(found)], [size], [frame_size])
            labels = self._index[pasted["labels"]]
            keep = labels >= 0
            kept = pasted["masks"][keep], pasted["scores"][keep], labels[keep]
            yield as_detections(kept, frame_size)


def _load(model: MaskRCNN, path: Path) -> None:
    """Load all weights of a model from a file, running no code in it.

    Raises:
        WeightsFileError: if the file is missing, damaged, or has other weights.
    """
    if not path.is_file():
        raise WeightsFileError(path, "there is no such file")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
        # Torchvision's training script stores more than the model.
        contents = contents.get("model", contents)
        # Renames the weights of older versions of torchvision, as the published files have them.
        missing, _ = model.load_state_dict(contents, strict=False)
    # Its text says how to run the code in a file, which is no advice for the users of a command.
    except pickle.UnpicklingError as error:
        reason = "it is damaged, or holds more than weights"
        raise WeightsFileError(path, reason) from error
    # A damaged file can raise anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsFileError(path, f"it is damaged or of another model: {reason}") from error
    # Counters that only training uses.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    check_complete(path, missing)
