"""Detectron2 data loaders over videos."""

import logging
from difflib import get_close_matches
from typing import Any

from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    DatasetMapper,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from ..errors import AnnotationError
from .mapper import ClipMapper, map_test_video
from .records import image_as_video, is_image
from .stream import SampleStream, SkipUnreadable


class FrameDataset(Dataset):
    """One item per frame with a visible object in records of videos: an epoch of the paper's
    schedule."""

    def __init__(self, records: list[dict[str, Any]]):
        # Serialized, so that worker processes share the memory.
        self.records = DatasetFromList(records, copy=False)
        self.frames = [
            (i, t)
            for i, record in enumerate(records)
            for t, annotations in enumerate(record["annotations"])
            if any(not x["iscrowd"] for x in annotations)
        ]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> dict[str, Any]:
        video, t = self.frames[index]
        return {"video": self.records[video], "frame": t}


def load_records(cfg: Any, dataset_name: str) -> list[dict[str, Any]]:
    """The records of a registered dataset, of videos or of images.

    Raises:
        AnnotationError: if it is not registered, cannot be read, is empty, or its number of
            categories is not the model's.
    """
    if dataset_name not in DatasetCatalog:
        names = get_close_matches(dataset_name, DatasetCatalog) or sorted(DatasetCatalog)
        raise AnnotationError(
            f"there is no dataset '{dataset_name}': register it with DATASETS.REGISTER "
            f"(docs/own_data.md), or name one of {', '.join(names)}"
        )
    try:
        records = DatasetCatalog.get(dataset_name)
    except OSError as error:
        raise AnnotationError(
            f"'{dataset_name}' cannot be read: {error} (see datasets/README.md; set "
            "DETECTRON2_DATASETS if the datasets are in another folder)"
        ) from error
    if not records:
        raise AnnotationError(f"'{dataset_name}' has no videos")
    classes = MetadataCatalog.get(dataset_name).get("thing_classes", [])
    if len(classes) != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise AnnotationError(
            f"'{dataset_name}' has {len(classes)} categories, but the model "
            f"{cfg.MODEL.ROI_HEADS.NUM_CLASSES}: set MODEL.ROI_HEADS.NUM_CLASSES {len(classes)}"
        )
    return records


def build_train_loader(cfg: Any) -> Any:
    """Endless batches of training clips from ``DATASETS.TRAIN``.

    Over all processes, ``SOLVER.ACCUMULATE`` batches have ``SOLVER.IMS_PER_BATCH`` clips.
    """
    names = cfg.DATASETS.TRAIN
    records = [
        image_as_video(record, name) if is_image(record) else record
        for name in names
        for record in load_records(cfg, name)
    ]
    if len({tuple(MetadataCatalog.get(name).thing_classes) for name in names}) > 1:
        raise AnnotationError(f"the datasets {list(names)} differ in their categories")
    dataset = FrameDataset(records)
    if not len(dataset):
        raise AnnotationError(f"none of the datasets {list(names)} has an annotated frame")
    logging.getLogger(__name__).info(
        "Training on %d annotated frames of %d videos", len(dataset), len(records)
    )
    num_frames = sum(record["length"] for record in records)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    clips = cfg.SOLVER.IMS_PER_BATCH // cfg.SOLVER.ACCUMULATE
    stream = SampleStream(
        dataset,
        SkipUnreadable(ClipMapper(cfg), cfg.DATALOADER.MAX_BAD_FRAMES, num_frames),
        seed=seed,
        batch_size=max(1, clips // comm.get_world_size()),
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
    )
    return build_detection_train_loader(
        stream,
        mapper=None,
        total_batch_size=clips,
        aspect_ratio_grouping=cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        # Without a seed the loader would draw one from the model's random numbers.
        seed=seed,
    )


def build_test_loader(cfg: Any, dataset_name: str) -> DataLoader:
    """One video at a time, whose frames are read when iterated.

    Raises:
        AnnotationError: as ``load_records``, and if it is a dataset of images.
    """
    records = load_records(cfg, dataset_name)
    if is_image(records[0]):
        raise AnnotationError(
            f"'{dataset_name}' has images, but DATASETS.TEST needs videos: convert it to videos of "
            "one frame with datasets/convert_coco.py"
        )
    lengths = [record["length"] for record in records]
    sampler = assign_videos(lengths, comm.get_rank(), comm.get_world_size())
    return build_detection_test_loader(
        records, mapper=map_test_video, sampler=sampler, num_workers=0
    )


def build_image_test_loader(cfg: Any, dataset_name: str) -> DataLoader:
    """One image at a time, for models of Detectron2.

    Raises:
        AnnotationError: as ``load_records``, and if it is a dataset of videos.
    """
    records = load_records(cfg, dataset_name)
    if not is_image(records[0]):
        raise AnnotationError(
            f"'{dataset_name}' has videos, but a {cfg.MODEL.META_ARCHITECTURE} is evaluated on "
            "images: track objects in videos with maskprop track --model CONFIG"
        )
    return build_detection_test_loader(
        records, mapper=DatasetMapper(cfg, is_train=False), num_workers=cfg.DATALOADER.NUM_WORKERS
    )


def assign_videos(lengths: list[int], rank: int, world_size: int) -> list[int]:
    """Distribute videos over processes by their lengths: the longest video left goes to the process
    with the fewest frames.

    Returns:
        the video indices of the process ``rank``, in ascending order.
    """
    frames = [0] * world_size
    videos = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        process = frames.index(min(frames))
        frames[process] += lengths[i]
        if process == rank:
            videos.append(i)
    return sorted(videos)
