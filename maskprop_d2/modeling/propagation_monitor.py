"""What training logs about propagation: soft IoU by distance between frames, and pictures."""

from typing import Any

import numpy as np
import torch
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torch.nn import functional as F

from ..ops.soft_iou import soft_iou_terms
from ..video.drawing import contact_sheet, draw_masks

PICTURE = "propagation/masks in t, propagated to s, ground truth in s"
MIN_SHORT_SIDE = 256
"""Smaller frames are enlarged to about this many pixels, so that labels are readable."""


class PropagationMonitor:
    """Collects the soft IoU (Eq. 3) of propagated and ground-truth masks by the distance of the
    frames, over objects that are visible in both, and draws pictures for TensorBoard.

    Only pictures and :meth:`pop_metrics` wait for the device.
    """

    def __init__(self, vis_period: int, image_format: str, stride: int):
        """
        Args:
            vis_period: iterations from one picture to the next; 0 for none.
            image_format: channel order of the clips' frames, "RGB" or "BGR".
            stride: side of a cell of the propagation grid in pixels.
        """
        self.vis_period = vis_period
        self.image_format = image_format
        self.stride = stride
        self._sums: dict[str, Tensor] = {}
        self._last_drawn = -1

    @torch.no_grad()
    def update(
        self, clip: list[dict[str, Any]], masks: Tensor, propagated: Tensor, targets: Tensor
    ) -> None:
        """Add a clip, and draw it if it is the first one of an iteration with a picture.

        Args:
            clip: the frames of an output of ``ClipMapper``, the first one being frame t.
            masks: (N, h, w) soft masks in frame t.
            propagated: (S, N, h, w) the masks propagated to all frames of the clip.
            targets: (S, N, h, w) ground truth in [0, 1].
        """
        t = clip[0]["frame"]
        names = ["0", *(distance_name(abs(x["frame"] - t)) for x in clip[1:])]
        for name, frame_masks, frame_targets in zip(names, propagated, targets, strict=True):
            iou, visible = _soft_iou(frame_masks, frame_targets)
            sums = torch.stack([iou.sum(), visible.sum()])
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        if self.vis_period > 0 and comm.is_main_process():
            storage = get_event_storage()
            if storage.iter % self.vis_period == 0 and storage.iter != self._last_drawn:
                self._last_drawn = storage.iter
                storage.put_image(PICTURE, self.draw(clip, masks, propagated[1], targets[1]))

    def pop_metrics(self) -> dict[str, tuple[float, float]]:
        """Return and reset the sum of soft IoU and the number of objects for each distance."""
        if not self._sums:
            return {}
        # One transfer from the GPU instead of many.
        sums = torch.stack(list(self._sums.values())).tolist()
        names, self._sums = list(self._sums), {}
        return {name: (iou, count) for name, (iou, count) in zip(names, sums, strict=True)}

    def draw(
        self, clip: list[dict[str, Any]], masks: Tensor, propagated: Tensor, targets: Tensor
    ) -> np.ndarray:
        """Draw three frames side by side: frame t with its masks; the first partner with the
        propagated masks and their soft IoU; the partner with the ground truth.

        Args:
            clip, masks: arguments of :meth:`update`.
            propagated, targets: (N, h, w) propagated and ground-truth masks in the partner.

        Returns:
            (3, H', W') uint8 RGB.
        """
        scale = max(1, round(MIN_SHORT_SIDE / min(clip[0]["image"].shape[1:])))
        frame, partner = (self._to_rgb(x["image"], scale) for x in clip[:2])
        frame_masks, partner_masks = (
            _to_frame(x, self.stride * scale, frame.shape[:2]) for x in (masks, propagated)
        )
        objects = clip[1]["instances"]
        truth_by_id = dict(
            zip(objects.gt_ids.tolist(), objects.gt_masks.tensor.numpy(), strict=True)
        )
        empty = np.zeros(clip[1]["image"].shape[1:], dtype=bool)
        truth = [truth_by_id.get(x, empty) for x in clip[0]["instances"].gt_ids.tolist()]
        ids = range(len(masks))
        names = [str(i) for i in ids]
        iou, visible = (x.tolist() for x in _soft_iou(propagated, targets))
        results = [f"{i} IoU {iou[i]:.2f}" if visible[i] else f"{i} is gone" for i in ids]
        drawn = [
            draw_masks(frame, list(frame_masks), ids, names),
            draw_masks(partner, list(partner_masks), ids, results),
            draw_masks(partner, [x.repeat(scale, 0).repeat(scale, 1) for x in truth], ids, names),
        ]
        return contact_sheet(drawn, columns=3).transpose(2, 0, 1)

    def _to_rgb(self, image: Tensor, scale: int) -> np.ndarray:
        """(3, H, W) uint8 of a clip -> (H', W', 3) RGB, enlarged."""
        rgb = image.flip(0) if self.image_format == "BGR" else image
        return rgb.permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)


def distance_name(distance: int) -> str:
    """The group of a distance between frames: "1", "2", "3-4", "5-8", "9-16" and so on; "still" for
    0, a still image and its warped copy."""
    if distance == 0:
        return "still"
    last = 1 << (distance - 1).bit_length()
    first = last // 2 + 1
    return str(last) if first == last else f"{first}-{last}"


def _soft_iou(masks: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) soft IoU, 0 for empty targets, and whether the targets are not empty."""
    targets = targets.flatten(1).float()
    intersection, union = soft_iou_terms(masks.flatten(1).float(), targets)
    return intersection / union.clamp(min=1e-6), targets.sum(1) > 0


def _to_frame(masks: Tensor, stride: int, size: tuple[int, ...]) -> np.ndarray:
    """(N, h, w) soft masks on a grid -> (N, H, W) bool; the grid may be larger than the frame."""
    masks = F.interpolate(masks[None].float(), scale_factor=stride, mode="bilinear")[0]
    return (masks[:, : size[0], : size[1]] > 0.5).cpu().numpy()
