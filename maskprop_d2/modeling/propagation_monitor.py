"""What a training shows of its propagation: how good it is over which distances, and pictures."""

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
SHORT_SIDE = 256
"""Of the frames in a picture, in pixels: smaller ones are enlarged, so that labels can be read."""


class PropagationWatch:
    """Looks at each training clip whose masks have been propagated.

    It sums up the soft IoU (Eq. 3) of propagated and true masks, of objects that can be seen in
    both frames, by the distance of the frames; and in some iterations it draws the first clip that
    has an object, for TensorBoard. Nothing waits for the device but pictures and :meth:`take_iou`.
    """

    def __init__(self, vis_period: int, image_format: str, stride: int):
        """
        Args:
            vis_period: iterations from one picture to the next; 0: none.
            image_format: "RGB" or "BGR", of the clips' frames.
            stride: pixels of a frame in each direction that a cell of the grid covers.
        """
        self.vis_period = vis_period
        self.image_format = image_format
        self.stride = stride
        self._sums: dict[str, Tensor] = {}
        self._last_drawn = -1

    @torch.no_grad()
    def see(
        self, clip: list[dict[str, Any]], masks: Tensor, propagated: Tensor, targets: Tensor
    ) -> None:
        """
        Args:
            clip: the frames of an output of ``ClipMapper``.
            masks: (N, h, w) soft masks of the objects of frame t, the first, on the grid of
                propagation.
            propagated: (S, N, h, w) what they become in all of the clip's frames.
            targets: (S, N, h, w) the ground truth in [0, 1].
        """
        t = clip[0]["frame"]
        names = ["0", *(distance_name(abs(x["frame"] - t)) for x in clip[1:])]
        for name, carried, truth in zip(names, propagated, targets, strict=True):
            iou, seen = _soft_iou(carried, truth)
            sums = torch.stack([iou.sum(), seen.sum()])
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        if self.vis_period > 0 and comm.is_main_process():
            storage = get_event_storage()
            if storage.iter % self.vis_period == 0 and storage.iter != self._last_drawn:
                self._last_drawn = storage.iter
                storage.put_image(PICTURE, self.draw(clip, masks, propagated[1], targets[1]))

    def take_iou(self) -> dict[str, tuple[float, float]]:
        """For each distance the sum of soft IoU and the number of objects since it was last
        taken."""
        if not self._sums:
            return {}
        # Together they come from a GPU at once.
        sums = torch.stack(list(self._sums.values())).tolist()
        names, self._sums = list(self._sums), {}
        return {name: (iou, count) for name, (iou, count) in zip(names, sums, strict=True)}

    def draw(
        self, clip: list[dict[str, Any]], masks: Tensor, propagated: Tensor, targets: Tensor
    ) -> np.ndarray:
        """Three frames side by side: t with the masks that are propagated; its first partner with
        what becomes of them, and the soft IoU; the partner with the ground truth.

        Soft masks are drawn where they are above one half.

        Args:
            clip, masks: see :meth:`see`.
            propagated, targets: (N, h, w) those in the partner.

        Returns:
            (3, H', W') uint8 RGB.
        """
        scale = max(1, round(SHORT_SIDE / min(clip[0]["image"].shape[1:])))
        frame, partner = (self._to_rgb(x["image"], scale) for x in clip[:2])
        given, carried = (
            _to_frame(x, self.stride * scale, frame.shape[:2]) for x in (masks, propagated)
        )
        there = clip[1]["instances"]
        truth_by_id = dict(zip(there.gt_ids.tolist(), there.gt_masks.tensor.numpy(), strict=True))
        nothing = np.zeros(clip[1]["image"].shape[1:], dtype=bool)
        truth = [truth_by_id.get(x, nothing) for x in clip[0]["instances"].gt_ids.tolist()]
        ids = range(len(masks))
        names = [str(i) for i in ids]
        iou, seen = (x.tolist() for x in _soft_iou(propagated, targets))
        results = [f"{i} IoU {iou[i]:.2f}" if seen[i] else f"{i} is gone" for i in ids]
        drawn = [
            draw_masks(frame, list(given), ids, names),
            draw_masks(partner, list(carried), ids, results),
            draw_masks(partner, [x.repeat(scale, 0).repeat(scale, 1) for x in truth], ids, names),
        ]
        return contact_sheet(drawn, columns=3).transpose(2, 0, 1)

    def _to_rgb(self, image: Tensor, scale: int) -> np.ndarray:
        """(3, H, W) uint8 of a clip -> (H', W', 3) RGB, enlarged."""
        rgb = image.flip(0) if self.image_format == "BGR" else image
        return rgb.permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)


def distance_name(distance: int) -> str:
    """Of the group that a distance between frames is in: "1", "2", "3-4", "5-8", "9-16" and so on;
    without a distance it is a "still" image and its warped copy."""
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
    """(N, h, w) soft masks on a grid -> (N, H, W) bool; the grid may cover more than the frame."""
    masks = F.interpolate(masks[None].float(), scale_factor=stride, mode="bilinear")[0]
    return (masks[:, : size[0], : size[1]] > 0.5).cpu().numpy()
