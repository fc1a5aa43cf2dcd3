"""From records to the model's input."""

from typing import Any

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Instances
from torch import Tensor

from ..inference.video import FrameFiles
from ..ops.rle import decode, to_rle
from .augmentation import augment_clip, build_clip_augmentations


class ClipPairMapper:
    """Makes a training pair: frame t of a video and a random partner near it (Sec. 4.4)."""

    @configurable
    def __init__(self, *, augmentations: T.AugmentationList, image_format: str, frame_range: int):
        """
        Args:
            augmentations: drawn once for both frames.
            image_format: "RGB" or "BGR", the model's input.
            frame_range: the partner is at most so many listed frames away.
        """
        self.augmentations = augmentations
        self.image_format = image_format
        self.frame_range = frame_range

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from ``cfg.INPUT``."""
        return {
            "augmentations": build_clip_augmentations(cfg),
            "image_format": cfg.INPUT.FORMAT,
            "frame_range": cfg.INPUT.SAMPLING_FRAME_RANGE // cfg.INPUT.SAMPLING_FRAME_STRIDE,
        }

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            sample: ``video``, a record of ``load_ytvis_json``, and ``frame``, the index t.

        Returns:
            a dict with ``image`` and ``partner_image``, (3, H, W) uint8; ``instances``, the
            objects seen in frame t, with ``gt_boxes``, ``gt_classes``, ``gt_masks``, and
            ``partner_masks``, the same objects' masks in the partner, empty where they cannot be
            seen; ``height``, ``width``, ``file_name``, ``video_id`` of frame t.
        """
        video, t = sample["video"], sample["frame"]
        partner = self.sample_partner(t, video["length"])
        paths = [video["file_names"][t], video["file_names"][partner]]
        frames, transforms = augment_clip(list(FrameFiles(paths)), self.augmentations)
        seen = [x for x in video["annotations"][t] if not x["iscrowd"]]
        in_partner = {x["id"]: x for x in video["annotations"][partner]}
        masks = [self._masks(seen, video, t, transforms)]
        masks.append(
            self._masks([in_partner.get(x["id"]) for x in seen], video, partner, transforms)
        )
        instances = Instances(frames[0].shape[:2])
        instances.gt_masks, instances.partner_masks = (
            BitMasks(torch.from_numpy(m).view(-1, *frames[0].shape[:2])) for m in masks
        )
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        instances.gt_classes = torch.tensor([x["category_id"] for x in seen], dtype=torch.int64)
        return {
            "image": self._to_tensor(frames[0]),
            "partner_image": self._to_tensor(frames[1]),
            "instances": instances[instances.gt_boxes.nonempty()],
            "height": video["height"],
            "width": video["width"],
            "file_name": paths[0],
            "video_id": video["video_id"],
        }

    def sample_partner(self, t: int, length: int) -> int:
        """Another frame at most ``frame_range`` away; the only frame of a video is its own."""
        first, last = max(t - self.frame_range, 0), min(t + self.frame_range, length - 1)
        others = [s for s in range(first, last + 1) if s != t]
        return int(np.random.choice(others)) if others else t

    def _masks(
        self,
        annotations: list[dict[str, Any] | None],
        video: dict[str, Any],
        t: int,
        transforms: T.TransformList,
    ) -> np.ndarray:
        """(N, H', W') bool, transformed; an object without annotation has an empty mask."""
        height, width = video["height"], video["width"]
        masks = []
        for annotation in annotations:
            mask = np.zeros((height, width), dtype=bool)
            if annotation is not None:
                try:
                    mask = decode(to_rle(annotation["segmentation"], height, width))
                except ValueError as error:
                    raise ValueError(
                        f"video {video['video_id']}, frame {t}, annotation {annotation['id']}: "
                        f"{error}"
                    ) from error
            masks.append(transforms.apply_segmentation(mask.astype(np.uint8)))
        return np.array(masks, dtype=bool)

    def _to_tensor(self, frame: np.ndarray) -> Tensor:
        if self.image_format == "BGR":
            frame = frame[:, :, ::-1]
        return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))


def map_test_video(record: dict[str, Any]) -> dict[str, Any]:
    """A record with ``frames``, which reads the video frame by frame when iterated."""
    return {**record, "frames": FrameFiles(record["file_names"])}
