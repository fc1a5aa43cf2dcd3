"""Which frame of a video a detection belongs to."""

import logging
import reprlib
from array import array
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ..errors import DetectionsError
from ..video import FrameFiles, VideoFile
from ..ytvis.checks import is_id

NONE = -1


class FrameNumbers:
    """Finds the frame indices of the entries of a COCO file, by file name or else by
    ``image_id``."""

    def __init__(self, path: str | Path, video: VideoFile | FrameFiles, images: Any):
        """
        Args:
            path: the file, for messages.
            video: the whole video.
            images: the list ``images`` of an annotation file, or None.

        Raises:
            DetectionsError: if an image is wrong.
        """
        self._path = path
        self._video = video
        self._by_name = {name: i for i, name in enumerate(getattr(video, "names", ()))}
        self._images = self._index(images)
        # Of each entry, NONE if unknown.
        self._named, self._numbered = array("q"), array("q")
        # Of each entry the folder in its name, as an index of these.
        self._folders: dict[str, int] = {}
        self._folder = array("q")
        self._example = ""

    def image_size(self, entry: dict[str, Any]) -> tuple[int, int]:
        """(H, W) in which the polygons of an entry are given: of its image, or else of the
        video."""
        image: dict[str, Any] = self._image(entry)
        height, width = image.get("height"), image.get("width")
        return (height, width) if is_id(height) and is_id(width) else self._video.frame_size

    def add(self, entry: dict[str, Any]) -> None:
        """Add the next entry.

        Raises:
            ValueError: if it does not say for which frame it is.
        """
        image_id: Any = entry.get("image_id")
        name = entry.get("file_name", self._image(entry).get("file_name"))
        if name is None and isinstance(image_id, str):
            # Ultralytics writes names here unless they are numbers.
            name = image_id
        if name is not None and not isinstance(name, str):
            raise ValueError(f"'file_name' must be a string, not {reprlib.repr(name)}")
        if is_id(image_id) and image_id < 2**62:
            self._numbered.append(image_id)
        elif name is None or not self._by_name:
            raise ValueError(
                f"needs 'image_id', the index of its frame from 0, not {reprlib.repr(image_id)}"
            )
        else:
            self._numbered.append(NONE)
        path = PureWindowsPath(name or "")  # It knows both kinds of slashes.
        self._named.append(self._by_name.get(path.stem, NONE))
        folder = path.parent.as_posix()
        self._folder.append(self._folders.setdefault(folder, len(self._folders)))
        self._example = self._example or name or ""

    def finish(self) -> np.ndarray:
        """The frame index of each entry; NONE for entries whose frame is not in the video.

        Raises:
            DetectionsError: if the entries are not of this video.
        """
        named, numbered = np.array(self._named), np.array(self._numbered)
        self._drop_other_folders(named)
        missing = (named == NONE).sum()
        if (named != NONE).any():
            if missing:
                logging.getLogger(__name__).warning(
                    "%s: %d of %d detections are ignored: their frames are not in the input",
                    self._path,
                    missing,
                    len(named),
                )
            return named
        if (numbered == NONE).any():
            raise DetectionsError(
                f"{self._path}: none of its frames is in the input: {reprlib.repr(self._example)} "
                f"against {reprlib.repr(next(iter(self._by_name)))}"
            )
        length = self._video.num_frames
        if self._images and set(self._images) == set(range(1, (length or 0) + 1)):
            # CVAT, for example, counts images from 1.
            numbered -= 1
        check_range(self._path, numbered, self._video)
        return numbered

    def _drop_other_folders(self, named: np.ndarray) -> None:
        """Set the frames of other videos in the file, whose frames have the same names, to NONE.

        Raises:
            DetectionsError: if it is not clear which of several videos is the input.
        """
        folder = np.array(self._folder)
        used = set(folder[named != NONE].tolist())
        found = {name for name, i in self._folders.items() if i in used}
        # Names without a folder may be of any.
        found.discard(".")
        if len(found) < 2:
            return
        own = [Path(x).resolve().parent.as_posix() for x in getattr(self._video, "paths", ())[:1]]
        matching = {x for x in found if any(f"{y}/".endswith(f"/{x.strip('/')}/") for y in own)}
        if len(matching) != 1:
            raise DetectionsError(
                f"{self._path} has frames of these names in several folders "
                f"({reprlib.repr(sorted(found))}): give it the detections of one video"
            )
        others = [self._folders[x] for x in found - matching]
        named[np.isin(folder, others)] = NONE

    def _index(self, images: Any) -> dict[Any, dict[str, Any]]:
        """The images by id."""
        by_id: dict[Any, dict[str, Any]] = {}
        if images is None:
            return by_id
        if not isinstance(images, list):
            raise DetectionsError(f"{self._path}: 'images' must be a list")
        for i, image in enumerate(images):
            if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
                raise DetectionsError(f"{self._path}: entry {i} of 'images' needs an 'id'")
            by_id[image["id"]] = image
        return by_id

    def _image(self, entry: dict[str, Any]) -> dict[str, Any]:
        image_id = entry.get("image_id")
        return self._images.get(image_id, {}) if isinstance(image_id, int | str) else {}


def check_range(path: str | Path, numbers: np.ndarray, video: VideoFile | FrameFiles) -> None:
    """Check that a video has the frames with these indices.

    Args:
        path: the file or folder with detections, for the message.
        numbers: frame indices.
        video: the whole video.

    Raises:
        DetectionsError: if there are indices after the last frame. They may be those of another
            video, or counted from 1.
    """
    length = video.num_frames
    if length is None or not len(numbers):
        return
    first, last = numbers.min(), numbers.max()
    # The header of a video file may be wrong by a few frames.
    slack = 0 if isinstance(video, FrameFiles) else 0.02 * length + 1
    if last > length - 1 + slack or (last == length and first >= 1):
        raise DetectionsError(
            f"{path} has detections in the frames {first} to {last}, but the input has {length} "
            "frames: count frames from 0, or give detections the names of image files. For a part "
            "of a video, give the whole one and --start and --duration"
        )
