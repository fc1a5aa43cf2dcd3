"""Detections in COCO's formats."""

import json
import logging
import reprlib
import weakref
from array import array
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..errors import DetectionsError
from ..ops.rle import MAX_PIXELS, MAX_SIDE, decode, decode_box, is_absent, to_rle
from ..structures import RLE, Detections
from ..video import FrameFiles, VideoFile
from ..ytvis.checks import is_id, is_number
from ..ytvis.reading import iterate_json, load_members
from .category_names import CategoryNames
from .conversion import check_number, check_size, resize_masks
from .frame_numbers import FrameNumbers

MAX_MEMORY = 16 * 2**20
"""Bytes of masks above which they move to a temporary file."""


class CocoDetections:
    """The detections in a file of COCO's result format (a list of detections) or annotation format
    (an object with ``images``, ``annotations`` and ``categories``).

    All of it is read and checked at once, and masks are decoded frame by frame: memory hardly grows
    with the file.

    Attributes:
        class_names: names of the K categories.
        category_ids: their ids in the file.
    """

    def __init__(
        self, path: str | Path, video: VideoFile | FrameFiles, class_names: list[str] | None = None
    ):
        """
        Args:
            path: the file (.json or .json.gz).
            video: the whole video, not an excerpt. Entries with a ``file_name`` are matched to
                frames of that name; without names, ``image_id`` is the frame index from 0.
            class_names: names of the categories with the ids 1, 2, ..., or 0, 1, ... if the file
                has an id 0. By default those in the file, or those of COCO.

        Raises:
            DetectionsError, AnnotationError: naming the first entry that is wrong.
        """
        self._path = path
        self._image_size = video.frame_size
        members = load_members(path, "annotations")
        numbers = FrameNumbers(path, video, members.get("images"))
        categories = CategoryNames(path, members.get("categories"), class_names)
        self._rles = SpooledTemporaryFile(max_size=MAX_MEMORY)  # noqa: SIM115
        weakref.finalize(self, self._rles.close)
        self._num_crowds = 0
        lengths, labels, scores = array("q"), array("q"), array("f")
        for i, entry in enumerate(iterate_json(path, "annotations")):
            try:
                if (found := self._read(entry, numbers)) is None:
                    continue
                rle, score = found
                labels.append(categories.add(entry))
                numbers.add(entry)
            except ValueError as error:
                raise DetectionsError(f"{path}: entry {i}{_frame(entry)}: {error}") from error
            scores.append(score)
            lengths.append(self._rles.write(json.dumps(rle).encode()))
        if self._num_crowds:
            logging.getLogger(__name__).warning(
                "%s: %d masks of crowds (iscrowd) are ignored", path, self._num_crowds
            )
        self.class_names, self.category_ids, order = categories.finish()
        frames = numbers.finish()
        self._order = np.argsort(frames, kind="stable")
        self._frames = frames[self._order]
        self._ends = np.cumsum(lengths, dtype=np.int64)
        self._lengths = np.array(lengths)
        self._labels = order[np.array(labels, np.int64)]
        self._scores = np.array(scores)

    def frame(self, index: int) -> Detections:
        """The detections in frame ``index`` of the whole video.

        Raises:
            DetectionsError: if their masks do not fit into memory.
        """
        chosen = self._order[slice(*np.searchsorted(self._frames, (index, index + 1)))]
        try:
            check_number(len(chosen), self._image_size)
        except DetectionsError as error:
            raise DetectionsError(f"{self._path}: frame {index}: {error}") from error
        masks = np.zeros((len(chosen), *self._image_size), bool)
        for mask, i in zip(masks, chosen, strict=True):
            self._rles.seek(self._ends[i] - self._lengths[i])
            rle = json.loads(self._rles.read(self._lengths[i]))
            if tuple(rle["size"]) == self._image_size:
                x0, y0, crop = decode_box(rle)
                mask[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
            else:
                mask[:] = resize_masks(decode(rle)[None], self._image_size)[0]
        return Detections(masks, self._scores[chosen], self._labels[chosen])

    def _read(self, entry: Any, numbers: FrameNumbers) -> tuple[RLE, float] | None:
        """The mask and score of an entry; None for crowds and masks without a pixel.

        Raises:
            ValueError: if they are wrong.
        """
        if not isinstance(entry, dict):
            raise ValueError("must be an object")
        # Some tools write all masks as crowds, but a crowd has no track.
        if entry.get("iscrowd", 0) == 1 and not _has_track_id(entry):
            self._num_crowds += 1
            return None
        score = entry.get("score", 1.0)
        if not is_number(score) or not 0 <= score <= 1:
            raise ValueError(f"'score' must be in 0..1, not {reprlib.repr(score)}")
        mask = entry.get("segmentation")
        if mask is None:
            if "segmentations" in entry:
                raise ValueError("it is a track with masks of many frames, not a detection")
            raise ValueError(
                "it has no 'segmentation': linking needs masks, not only boxes. Use a segmentation "
                "model, or get masks for the boxes from SAM"
            )
        if is_absent(mask):
            return None
        size = numbers.image_size(entry)
        if isinstance(mask, dict):
            size = mask.get("size", size)
            if not (isinstance(size, list | tuple) and len(size) == 2 and all(map(is_id, size))):
                raise ValueError(f"the mask's size must be two numbers, not {reprlib.repr(size)}")
        height, width = size
        if not (min(size) > 0 and max(size) < MAX_SIDE and height * width <= MAX_PIXELS):
            raise ValueError(
                f"a mask of {width} x {height} pixels: the limit is {MAX_PIXELS} pixels"
            )
        check_size((height, width), self._image_size)
        rle = to_rle(mask, height, width)
        return (rle, score) if coco_mask.area(rle) else None


def _has_track_id(entry: dict[str, Any]) -> bool:
    attributes = entry.get("attributes")
    return "track_id" in entry or (isinstance(attributes, dict) and "track_id" in attributes)


def _frame(entry: Any) -> str:
    """The frame that an entry is for, for a message."""
    names = ("file_name", "image_id") if isinstance(entry, dict) else ()
    return next((f" ({x} {reprlib.repr(entry[x])})" for x in names if x in entry), "")
