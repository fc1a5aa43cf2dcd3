"""Detectron2 data loaders over videos."""

import logging
from typing import Any

from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from ..errors import AnnotationError
from .bad_frames import SkipBadFrames
from .mapper import ClipMapper, map_test_video
from .still_images import image_as_video, is_image
from .stream import SampleStream


class FrameDataset(Dataset):
    """One item for each frame in which an object is seen: an epoch of the paper's schedule."""

    def __init__(self, records: list[dict[str, Any]]):
        """
        Args:
            records: those of ``load_ytvis_json``.
        """
        # In one block of memory, which the workers share.
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
    """The records of a registered data set that fits the model: of videos, or Detectron2's own of
    images.

    Raises:
        AnnotationError: if it is not registered, cannot be read, is empty, or has another number
            of categories than the model.
    """
    if dataset_name not in DatasetCatalog:
        raise AnnotationError(
            f"there is no data set '{dataset_name}': register it with DATASETS.REGISTER "
            f"(docs/own_data.md), or name one of {', '.join(sorted(DatasetCatalog))}"
        )
    try:
        records = DatasetCatalog.get(dataset_name)
    except OSError as error:
        raise AnnotationError(
            f"'{dataset_name}' cannot be read: {error} (see datasets/README.md; set "
            f"DETECTRON2_DATASETS if the data sets are elsewhere)"
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
    """Endless batches of training clips from ``DATASETS.TRAIN``: of ``SOLVER.IMS_PER_BATCH`` for
    all processes, in ``SOLVER.ACCUMULATE`` parts."""
    names = cfg.DATASETS.TRAIN
    records = [
        image_as_video(record, name) if is_image(record) else record
        for name in names
        for record in load_records(cfg, name)
    ]
    if len({tuple(MetadataCatalog.get(name).thing_classes) for name in names}) > 1:
        raise AnnotationError(f"the data sets {list(names)} differ in their categories")
    dataset = FrameDataset(records)
    if not len(dataset):
        raise AnnotationError(
            f"none of the data sets {list(names)} has an annotated frame to train on"
        )
    logging.getLogger(__name__).info(
        "Training on %d annotated frames of %d videos", len(dataset), len(records)
    )
    num_frames = sum(record["length"] for record in records)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    clips = cfg.SOLVER.IMS_PER_BATCH // cfg.SOLVER.ACCUMULATE
    stream = SampleStream(
        dataset,
        SkipBadFrames(ClipMapper(cfg), cfg.DATALOADER.MAX_BAD_FRAMES, num_frames),
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
        # Else a loader that begins takes a random number of the model's.
        seed=seed,
    )


def build_test_loader(cfg: Any, dataset_name: str) -> DataLoader:
    """One video at a time, whose frames are read while they are worked on.

    Raises:
        AnnotationError: as ``load_records``, and if it is a data set of images.
    """
    records = load_records(cfg, dataset_name)
    if is_image(records[0]):
        raise AnnotationError(
            f"'{dataset_name}' holds images, to train on: DATASETS.TEST takes videos "
            f"(datasets/convert_coco.py makes videos of one frame)"
        )
    lengths = [record["length"] for record in records]
    sampler = share_of_work(lengths, comm.get_rank(), comm.get_world_size())
    return build_detection_test_loader(
        records, mapper=map_test_video, sampler=sampler, num_workers=0
    )


def share_of_work(lengths: list[int], rank: int, world_size: int) -> list[int]:
    """The videos that one of many processes works on, so that none waits long for another: the
    longest video that is left goes to the process with the fewest frames.

    Args:
        lengths: frames in each video.
        rank, world_size: of the process, and their number.

    Returns:
        indices, rising.
    """
    frames = [0] * world_size
    share = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        least = frames.index(min(frames))
        frames[least] += lengths[i]
        if least == rank:
            share.append(i)
    return sorted(share)
