"""From records to the model's input."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Instances
from torch import Tensor

from ..evaluation import AnnotationError
from ..inference.video import FrameFiles, VideoError
from ..ops.rle import decode, to_rle
from .augmentation import augment_clip, build_clip_augmentations
from .semantic import build_semantic_map, transform_semantic_map
from .warp import build_image_warp


class ClipPairMapper:
    """Makes a training pair: frame t of a video and a random partner near it (Sec. 4.4), or where
    there is none, as for a still image, a warped copy of frame t."""

    @configurable
    def __init__(
        self,
        *,
        augmentations: T.AugmentationList,
        image_format: str,
        frame_range: int,
        image_warp: T.Augmentation,
        semantic_map: Callable[[dict[str, Any], int], np.ndarray] | None = None,
    ):
        """
        Args:
            augmentations: drawn once for both frames.
            image_format: "RGB" or "BGR", the model's input.
            frame_range: the partner is at most so many listed frames away.
            image_warp: makes the partner of a frame that has no other within range.
            semantic_map: gives the class of each pixel of a frame, from a record and the frame's
                index; None: nobody asks for it.
        """
        self.augmentations = augmentations
        self.image_format = image_format
        self.frame_range = frame_range
        self.image_warp = image_warp
        self.semantic_map = semantic_map

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from ``cfg.INPUT``."""
        return {
            "augmentations": build_clip_augmentations(cfg),
            "image_format": cfg.INPUT.FORMAT,
            "frame_range": cfg.INPUT.SAMPLING_FRAME_RANGE // cfg.INPUT.SAMPLING_FRAME_STRIDE,
            "image_warp": build_image_warp(cfg),
            "semantic_map": build_semantic_map(cfg),
        }

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            sample: ``video``, a record of ``load_ytvis_json`` or ``image_as_video``, and ``frame``,
                the index t.

        Returns:
            a dict with ``image`` and ``partner_image``, (3, H, W) uint8; ``instances``, the
            objects seen in frame t, with ``gt_boxes``, ``gt_classes``, ``gt_masks``, ``gt_ids``
            (one id an object of the video), and ``partner_masks``, the same objects' masks in the
            partner, empty where they cannot be seen; ``partner_instances``, the objects seen in
            the partner; ``distance``, of the two in listed frames, 0 for a warped copy;
            ``height``, ``width``, ``file_name``, ``video_id`` of frame t. If asked for, also
            ``sem_seg`` and ``partner_sem_seg``, (H, W) uint8 class index of each pixel.

        Raises:
            VideoError: if a frame cannot be read, or has not the size that the record says.
            AnnotationError: if a mask cannot be used.
        """
        video, t = sample["video"], sample["frame"]
        partner = self.sample_partner(t, video["length"])
        paths = [video["file_names"][t], video["file_names"][partner]]
        frames = list(FrameFiles(paths))
        if frames[0].shape[:2] != (video["height"], video["width"]):
            raise VideoError(
                f"frame {paths[0]} has {frames[0].shape[1]} x {frames[0].shape[0]} pixels, but "
                f"its video {video['width']} x {video['height']}"
            )
        warp: T.Transform = T.NoOpTransform()
        if partner == t:
            warp = self.image_warp.get_transform(frames[1])
            frames[1] = warp.apply_image(frames[1])
        frames, transforms = augment_clip(frames, self.augmentations)
        partner_transforms = T.TransformList([warp]) + transforms
        size = frames[0].shape[:2]
        seen, seen_in_partner = (
            [x for x in video["annotations"][s] if not x["iscrowd"]] for s in (t, partner)
        )
        instances = self._instances(seen, video, t, transforms, size)
        by_id = {x["id"]: x for x in seen_in_partner}
        same_objects = [by_id.get(x["id"]) for x in seen]
        in_partner = (video, partner, partner_transforms, size)
        partner_instances = self._instances(seen_in_partner, *in_partner)
        instances.partner_masks = self._masks(same_objects, *in_partner)
        pair = {
            "image": self._to_tensor(frames[0]),
            "partner_image": self._to_tensor(frames[1]),
            "instances": instances[instances.gt_boxes.nonempty()],
            "partner_instances": partner_instances[partner_instances.gt_boxes.nonempty()],
            "distance": abs(partner - t),
            "height": video["height"],
            "width": video["width"],
            "file_name": paths[0],
            "video_id": video["video_id"],
        }
        if self.semantic_map is not None:
            for name, s, applied in (
                ("sem_seg", t, transforms),
                ("partner_sem_seg", partner, partner_transforms),
            ):
                classes = transform_semantic_map(self.semantic_map(video, s), applied)
                pair[name] = torch.from_numpy(classes)
        return pair

    def sample_partner(self, t: int, length: int) -> int:
        """Another frame at most ``frame_range`` away, or t itself if there is none."""
        first, last = max(t - self.frame_range, 0), min(t + self.frame_range, length - 1)
        others = [s for s in range(first, last + 1) if s != t]
        return int(np.random.choice(others)) if others else t

    def _instances(
        self,
        annotations: list[dict[str, Any]],
        video: dict[str, Any],
        t: int,
        transforms: T.TransformList,
        size: tuple[int, int],
    ) -> Instances:
        """The objects of one transformed frame, as a detector is trained on them."""
        instances = Instances(size)
        instances.gt_masks = self._masks(annotations, video, t, transforms, size)
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        classes = [x["category_id"] for x in annotations]
        instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
        instances.gt_ids = torch.tensor([x["id"] for x in annotations], dtype=torch.int64)
        return instances

    def _masks(
        self,
        annotations: Sequence[dict[str, Any] | None],
        video: dict[str, Any],
        t: int,
        transforms: T.TransformList,
        size: tuple[int, int],
    ) -> BitMasks:
        """Transformed masks, of ``size``; an object without annotation has an empty one."""
        height, width = video["height"], video["width"]
        masks = np.zeros((len(annotations), *size), dtype=bool)
        for i, annotation in enumerate(annotations):
            if annotation is None:
                continue
            try:
                mask = decode(to_rle(annotation["segmentation"], height, width))
            except ValueError as error:
                raise AnnotationError(
                    f"video {video['video_id']}, frame {t}, annotation {annotation['id']}: {error}"
                ) from error
            masks[i] = transforms.apply_segmentation(mask.astype(np.uint8))
        return BitMasks(torch.from_numpy(masks))

    def _to_tensor(self, frame: np.ndarray) -> Tensor:
        if self.image_format == "BGR":
            frame = frame[:, :, ::-1]
        return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))


def map_test_video(record: dict[str, Any]) -> dict[str, Any]:
    """A record with ``frames``, which reads the video frame by frame when iterated."""
    return {**record, "frames": FrameFiles(record["file_names"])}
