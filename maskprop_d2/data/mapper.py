"""Mapping records to the model's input."""

from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Instances

from ..errors import AnnotationError, InputError, VideoError
from ..ops.rle import decode, to_rle
from ..video import FrameFiles
from .augmentation import build_clip_augmentations, build_image_warp
from .semantic import build_semantic_map, transform_semantic_map


class ClipMapper:
    """Makes training clips: a key frame t and random partner frames near it (Sec. 4.4).

    Partners are distinct. If there are too few other frames, as for a still image, the remaining
    partners are warped copies of frame t.

    Attributes:
        augmentations: drawn once for all frames.
        num_frames: frames in a clip, including the key frame.
        frame_range: largest distance of a partner, in frames of the dataset.
        image_warp: draws the transform of a warped copy.
        semantic_map: a function from a record and a frame index to an (H, W) semantic map; None if
            the model does not need them.
    """

    def __init__(self, cfg: Any):
        """
        Raises:
            InputError: if ``INPUT.SAMPLING_FRAME_NUM`` is below 2, or an option of the semantic
                maps or warps is invalid.
        """
        self.num_frames = cfg.INPUT.SAMPLING_FRAME_NUM
        if self.num_frames < 2:
            raise InputError(
                "INPUT.SAMPLING_FRAME_NUM must be 2 or more, a frame and its partners, not "
                f"{self.num_frames}"
            )
        self.augmentations = build_clip_augmentations(cfg)
        self.frame_range = cfg.INPUT.SAMPLING_FRAME_RANGE // cfg.INPUT.SAMPLING_FRAME_STRIDE
        self.image_warp = build_image_warp(cfg)
        self.semantic_map = build_semantic_map(cfg)
        self._is_bgr = cfg.INPUT.FORMAT == "BGR"
        self._num_semantic = self.num_frames if cfg.MODEL.MASKPROP.TRAIN_ON_PARTNER else 1

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """
        Args:
            sample: ``video``, a record as of ``load_ytvis_json``, and ``frame``, the index t.

        Returns:
            a dict with ``clip``, a list of ``num_frames`` dicts, the key frame's first; and
            ``height``, ``width``, ``file_name``, ``video_id`` of the key frame. Each frame has
            ``image``, (3, H, W) uint8; ``frame``, its index, which is t for a warped copy;
            ``instances``, the visible objects, with ``gt_boxes``, ``gt_classes``, ``gt_masks`` and
            ``gt_ids``, which identify an object in all frames; and, if the model needs it,
            ``sem_seg``, an (H, W) uint8 semantic map.

        Raises:
            VideoError: if a frame cannot be read, or its size is not the record's.
            AnnotationError: if a mask is invalid.
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
                warps[i] = self.image_warp(images[i])
                images[i] = warps[i].apply_image(images[i])
        key = T.AugInput(images[0])
        shared = self.augmentations(key)
        images = [key.image, *(shared.apply_image(image) for image in images[1:])]
        if self._is_bgr:
            images = [image[:, :, ::-1] for image in images]
        transforms = [T.TransformList([warp]) + shared for warp in warps]
        clip = [
            {
                "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
                "frame": s,
                "instances": self._instances(video, s, transform, image.shape[:2]),
            }
            for s, image, transform in zip(indices, images, transforms, strict=True)
        ]
        if self.semantic_map is not None:
            for i in range(self._num_semantic):
                classes = self.semantic_map(video, indices[i])
                classes = transform_semantic_map(classes, transforms[i])
                clip[i]["sem_seg"] = torch.from_numpy(classes)
        return {
            "clip": clip,
            "height": video["height"],
            "width": video["width"],
            "file_name": video["file_names"][t],
            "video_id": video["video_id"],
        }

    def sample_partners(self, t: int, length: int) -> list[int]:
        """Distinct frames at most ``frame_range`` from t; if there are too few, then t."""
        first, last = max(t - self.frame_range, 0), min(t + self.frame_range, length - 1)
        others = [s for s in range(first, last + 1) if s != t]
        return [
            others.pop(np.random.randint(len(others))) if others else t
            for _ in range(self.num_frames - 1)
        ]

    def _instances(
        self, video: dict[str, Any], s: int, transforms: T.TransformList, size: tuple[int, int]
    ) -> Instances:
        """The objects of frame s that are visible in the transformed image, which has ``size``."""
        annotations = [x for x in video["annotations"][s] if not x["iscrowd"]]
        masks = np.zeros((len(annotations), *size), dtype=bool)
        for i, annotation in enumerate(annotations):
            try:
                rle = to_rle(annotation["segmentation"], video["height"], video["width"])
                masks[i] = transforms.apply_segmentation(decode(rle).astype(np.uint8))
            except ValueError as error:
                raise AnnotationError(
                    f"video {video['video_id']}, frame {s}, annotation {annotation['id']}: {error}"
                ) from error
        instances = Instances(size)
        instances.gt_masks = BitMasks(torch.from_numpy(masks))
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        classes = [x["category_id"] for x in annotations]
        instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
        instances.gt_ids = torch.tensor([x["id"] for x in annotations], dtype=torch.int64)
        return instances[instances.gt_boxes.nonempty()]


def map_test_video(record: dict[str, Any]) -> dict[str, Any]:
    """A record with ``frames``, which reads the frames when iterated."""
    return {**record, "frames": FrameFiles(record["file_names"])}
