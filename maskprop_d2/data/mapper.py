"""From records to the model's input."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Instances
from torch import Tensor

from ..errors import AnnotationError, InputError, VideoError
from ..ops.rle import decode, to_rle
from ..video import FrameFiles
from .augmentation import augment_clip, build_clip_augmentations
from .semantic import build_semantic_map, transform_semantic_map
from .warp import build_image_warp


class ClipMapper:
    """Makes a training clip: frame t of a video, the key frame, and random partners near it
    (Sec. 4.4), each another frame. Where there are too few, as for a still image, the rest are
    warped copies of frame t."""

    @configurable
    def __init__(
        self,
        *,
        augmentations: T.AugmentationList,
        image_format: str,
        num_frames: int,
        frame_range: int,
        image_warp: T.Augmentation,
        semantic_map: Callable[[dict[str, Any], int], np.ndarray] | None = None,
        train_on_partner: bool = False,
    ):
        """
        Args:
            augmentations: drawn once for all frames.
            image_format: "RGB" or "BGR", the model's input.
            num_frames: frames of a clip, with the key frame.
            frame_range: partners are at most so many listed frames away.
            image_warp: makes partners of a frame that has too few others within range.
            semantic_map: gives the class of each pixel of a frame, from a record and the frame's
                index; None: nobody asks for it.
            train_on_partner: whether the partners' are asked for too.

        Raises:
            InputError: if a clip would have no partner.
        """
        if num_frames < 2:
            raise InputError(
                f"INPUT.SAMPLING_FRAME_NUM must be 2 or more, a frame and its partners, not "
                f"{num_frames}"
            )
        self.augmentations = augmentations
        self.image_format = image_format
        self.num_frames = num_frames
        self.frame_range = frame_range
        self.image_warp = image_warp
        self.semantic_map = semantic_map
        self.train_on_partner = train_on_partner

    @classmethod
    def from_config(cls, cfg: Any) -> dict[str, Any]:
        """Arguments from ``cfg.INPUT``."""
        return {
            "augmentations": build_clip_augmentations(cfg),
            "image_format": cfg.INPUT.FORMAT,
            "num_frames": cfg.INPUT.SAMPLING_FRAME_NUM,
            "frame_range": cfg.INPUT.SAMPLING_FRAME_RANGE // cfg.INPUT.SAMPLING_FRAME_STRIDE,
            "image_warp": build_image_warp(cfg),
            "semantic_map": build_semantic_map(cfg),
            "train_on_partner": cfg.MODEL.MASKPROP.TRAIN_ON_PARTNER,
        }

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            sample: ``video``, a record of ``load_ytvis_json`` or ``image_as_video``, and ``frame``,
                the index t.

        Returns:
            a dict with ``clip``, ``num_frames`` dicts, the key frame's first; and ``height``,
            ``width``, ``file_name``, ``video_id`` of the key frame. For each frame: ``image``,
            (3, H, W) uint8; ``frame``, its index, which of a warped copy is t; ``instances``, the
            objects seen in it, with ``gt_boxes``, ``gt_classes``, ``gt_masks``, and ``gt_ids``, one
            id an object of the video; where asked for, ``sem_seg``, (H, W) uint8 class index of
            each pixel.

        Raises:
            VideoError: if a frame cannot be read, or has not the size that the record says.
            AnnotationError: if a mask cannot be used.
        """
        video, t = sample["video"], sample["frame"]
        indices = [t, *self.sample_partners(t, video["length"])]
        images = list(FrameFiles([video["file_names"][s] for s in indices]))
        if images[0].shape[:2] != (video["height"], video["width"]):
            raise VideoError(
                f"frame {video['file_names'][t]} has {images[0].shape[1]} x {images[0].shape[0]} "
                f"pixels, but its video {video['width']} x {video['height']}"
            )
        warps: list[T.Transform] = [T.NoOpTransform() for _ in indices]
        for i, s in enumerate(indices[1:], start=1):
            if s == t:
                warps[i] = self.image_warp.get_transform(images[i])
                images[i] = warps[i].apply_image(images[i])
        images, transforms = augment_clip(images, self.augmentations)
        of_frames = [T.TransformList([warp]) + transforms for warp in warps]
        clip = [self._frame(video, *x) for x in zip(indices, images, of_frames, strict=True)]
        if self.semantic_map is not None:
            learnt = clip if self.train_on_partner else clip[:1]
            for frame, transform in zip(learnt, of_frames, strict=False):
                classes = self.semantic_map(video, frame["frame"])
                frame["sem_seg"] = torch.from_numpy(transform_semantic_map(classes, transform))
        return {
            "clip": clip,
            "height": video["height"],
            "width": video["width"],
            "file_name": video["file_names"][t],
            "video_id": video["video_id"],
        }

    def sample_partners(self, t: int, length: int) -> list[int]:
        """Other frames at most ``frame_range`` away, each once, and t itself in the place of those
        that are missing."""
        first, last = max(t - self.frame_range, 0), min(t + self.frame_range, length - 1)
        others = [s for s in range(first, last + 1) if s != t]
        return [
            others.pop(np.random.randint(len(others))) if others else t
            for _ in range(self.num_frames - 1)
        ]

    def _frame(
        self, video: dict[str, Any], s: int, image: np.ndarray, transforms: T.TransformList
    ) -> dict[str, Any]:
        """One frame of the clip from its transformed image, and how that was transformed."""
        return {
            "image": self._to_tensor(image),
            "frame": s,
            "instances": self._instances(video, s, transforms, image.shape[:2]),
        }

    def _instances(
        self, video: dict[str, Any], s: int, transforms: T.TransformList, size: tuple[int, int]
    ) -> Instances:
        """The objects seen in a transformed frame, as a detector is trained on them."""
        annotations = [x for x in video["annotations"][s] if not x["iscrowd"]]
        instances = Instances(size)
        instances.gt_masks = self._masks(annotations, video, s, transforms, size)
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        classes = [x["category_id"] for x in annotations]
        instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
        instances.gt_ids = torch.tensor([x["id"] for x in annotations], dtype=torch.int64)
        return instances[instances.gt_boxes.nonempty()]

    def _masks(
        self,
        annotations: list[dict[str, Any]],
        video: dict[str, Any],
        s: int,
        transforms: T.TransformList,
        size: tuple[int, int],
    ) -> BitMasks:
        """Transformed masks, of ``size``."""
        height, width = video["height"], video["width"]
        masks = np.zeros((len(annotations), *size), dtype=bool)
        for i, annotation in enumerate(annotations):
            try:
                mask = decode(to_rle(annotation["segmentation"], height, width))
            except ValueError as error:
                raise AnnotationError(
                    f"video {video['video_id']}, frame {s}, annotation {annotation['id']}: {error}"
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
