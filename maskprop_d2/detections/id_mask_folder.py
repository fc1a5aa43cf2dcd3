"""Detections in a folder of id masks."""

import logging
from pathlib import Path

import numpy as np

from ..errors import DetectionsError
from ..structures import Detections
from ..video import FrameFiles, VideoFile
from ..video.frame_files import natural_sort
from ..video.id_masks import object_values, read_id_mask
from .category_names import OBJECT
from .conversion import as_detections, check_number, resize_masks
from .frame_numbers import check_range


class IdMaskFolder:
    """The objects in a folder of id masks: a PNG per frame, in which the value of a pixel is the
    number of its object (0: none, 255: void). An object may have another number in each frame.

    A PNG belongs to the frame of the same name. If there is none, as for a video file, a name that
    is a number is the index of the frame, from 0. PNGs that are numbered 1, 2, ... without gaps, or
    have other names, belong to the frames in order.

    Attributes:
        class_names: the only category, "object".
        category_ids: its id.
    """

    class_names = (OBJECT,)
    category_ids = (1,)

    def __init__(self, folder: str | Path, video: VideoFile | FrameFiles):
        """
        Args:
            folder: the PNGs.
            video: the whole video, not an excerpt.

        Raises:
            DetectionsError: if the folder has no PNG, or PNGs of frames that do not exist.
        """
        self._image_size = video.frame_size
        names = [x.name for x in Path(folder).iterdir() if x.suffix.lower() == ".png"]
        paths = [Path(folder) / x for x in natural_sort(names) if not x.startswith(".")]
        if not paths:
            raise DetectionsError(f"{folder} holds no .png")
        self._paths = _match(Path(folder), paths, video)

    def frame(self, index: int) -> Detections:
        """The objects in frame ``index`` of the whole video.

        Raises:
            DetectionsError, VideoError: if its id mask cannot be used.
        """
        if index not in self._paths:
            return as_detections(([],), self._image_size)
        _, masks = read_objects(self._paths[index], self._image_size)
        return as_detections((masks,), self._image_size)


def read_objects(path: Path, image_size: tuple[int, int]) -> tuple[list[int], np.ndarray]:
    """The pixel values of the N objects in an id mask, and their (N, H, W) bool masks.

    Raises:
        DetectionsError, VideoError: if it cannot be used.
    """
    ids = read_id_mask(path)
    values = object_values(ids)
    if not values:
        return values, np.zeros((0, *image_size), bool)
    try:
        check_number(len(values), image_size)
        return values, resize_masks(np.array([ids == x for x in values]), image_size)
    except DetectionsError as error:
        raise DetectionsError(f"{path}: {error}") from error


def _match(folder: Path, paths: list[Path], video: VideoFile | FrameFiles) -> dict[int, Path]:
    """The id masks by frame index."""
    by_name = {name: i for i, name in enumerate(getattr(video, "names", ()))}
    named = {by_name[path.stem]: path for path in paths if path.stem in by_name}
    if named:
        if len(named) < len(paths):
            logging.getLogger(__name__).warning(
                "%s: %d of %d id masks are ignored: no frame in the input has their name",
                folder,
                len(paths) - len(named),
                len(paths),
            )
        return named
    numbers = [int(x.stem) for x in paths if x.stem.isdecimal()]
    if len(set(numbers)) < len(paths) or numbers == list(range(1, len(paths) + 1)):
        # Other names, or counted from 1.
        numbers = list(range(len(paths)))
        if video.num_frames is not None and len(paths) < video.num_frames:
            logging.getLogger(__name__).warning(
                "%s: its %d id masks are taken for those of the first frames: to say for which "
                "frame a mask is, name it by the frame or by its index from 0",
                folder,
                len(paths),
            )
    check_range(folder, np.array(numbers), video)
    return dict(zip(numbers, paths, strict=True))
