"""Tracks between YouTube-VIS files and annotation tools."""

import reprlib
from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pycocotools import mask as coco_mask

from ..errors import AnnotationError
from ..ops.rle import MAX_PIXELS, MAX_SIDE, to_rle
from ..structures import RLE
from ..video.frame_files import IMAGE_SUFFIXES, natural_sort
from ..ytvis.checks import escapes_folder
from ..ytvis.writing import track_fields, write_annotations

MAX_FRAMES = 10**6
"""Limit of the frames of a video, since a small file can name any number."""


@dataclass
class ToolTrack:
    """An object of a video: its category, and its masks by frame index."""

    category: str
    masks: dict[int, RLE] = field(default_factory=dict)


@dataclass
class ToolVideo:
    """The frames of a video and its objects.

    Attributes:
        name: for example the folder of its frames.
        size: (H, W).
        file_names: of its L frames, relative to the folder with all videos.
        tracks: by an id of the tool.
    """

    name: str
    size: tuple[int, int]
    file_names: list[str]
    tracks: dict[Hashable, ToolTrack] = field(default_factory=dict)

    def add(self, track_id: Hashable, category: str, frame: int, mask: RLE) -> None:
        """Add a mask. Several masks of an object in a frame are its parts.

        Args:
            track_id: which object of the category it is; None if the tool does not know. Then it
                becomes a track of one frame.
            category: its name.
            frame: an index in ``file_names``.
            mask: a compressed RLE.
        """
        key = (track_id, category) if track_id is not None else (None, len(self.tracks))
        masks = self.tracks.setdefault(key, ToolTrack(category)).masks
        if frame in masks:
            # Parts of pycocotools's result are bytes.
            merged = coco_mask.merge([masks[frame], mask])
            mask = {"size": list(mask["size"]), "counts": merged["counts"].decode()}
        masks[frame] = mask


@dataclass
class ToolAnnotations:
    """What a tool or a YouTube-VIS file holds.

    Attributes:
        categories: names of the K categories.
        videos: their tracks.
        notes: numbers of things that a user should know of, such as ignored shapes, by text.
    """

    categories: list[str]
    videos: list[ToolVideo]
    notes: Counter[str] = field(default_factory=Counter)

    def write_ytvis(self, path: Path) -> str:
        """Write a YouTube-VIS annotation file, and return a line for the user.

        Raises:
            AnnotationError: if there is no track, or a category is unknown.
        """
        videos = [
            {"height": v.size[0], "width": v.size[1], "file_names": v.file_names}
            for v in self.videos
        ]
        tracks = []
        for i, video in enumerate(self.videos, start=1):
            for track in video.tracks.values():
                if track.category not in self.categories:
                    known = reprlib.repr(self.categories)
                    label = quote(track.category)
                    raise AnnotationError(f"{video.name}: {label} is not one of the labels {known}")
                masks = [track.masks.get(t) for t in range(len(video.file_names))]
                ids = {"video_id": i, "category_id": self.categories.index(track.category) + 1}
                tracks.append({**ids, **track_fields(masks)})
        if not tracks:
            notes = "".join(f"; {count} {text}" for text, count in self.notes.items())
            raise AnnotationError(f"there is no mask of any object{notes}")
        return write_annotations(path, videos, self.categories, tracks)


@dataclass(frozen=True)
class WriteOptions:
    """How masks are written.

    Attributes:
        masks: as masks, pixel by pixel, instead of polygons.
        tolerance: leave out corners of polygons where the line moves by at most this many pixels.
        frames: the folder of the frames, for files that point to them.
    """

    masks: bool = False
    tolerance: float = 0
    frames: Path | None = None


def quote(name: str) -> str:
    """A name of a file for a message, in quotes and not longer than a line."""
    text = repr(name)
    return text if len(text) <= 150 else f"{text[:75]}...{text[-75:]}"


def check_size(height: Any, width: Any) -> tuple[int, int]:
    """(H, W) of frames that a file states.

    Raises:
        ValueError: if they are not that.
    """
    if not all(type(x) is int and 0 < x < MAX_SIDE for x in (height, width)):
        raise ValueError(
            f"frames cannot have {reprlib.repr(width)} x {reprlib.repr(height)} pixels"
        )
    if height * width > MAX_PIXELS:
        raise ValueError(f"frames have {width} x {height} pixels; the limit is {MAX_PIXELS}")
    return height, width


def get_value(entry: Any, key: str, kind: type) -> Any:
    """The value of an object of a json file.

    Raises:
        ValueError: if it is missing or of another type.
    """
    value = entry.get(key) if isinstance(entry, dict) else None
    # bool is a subclass of int.
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}
        raise ValueError(f"'{key}' must be {names[kind]}, not {reprlib.repr(value)}")
    return value


def to_mask(segmentation: Any, size: tuple[int, int]) -> RLE | None:
    """A mask of the tool as compressed RLE; None if it has no pixel.

    Raises:
        ValueError: if it cannot be used.
    """
    mask = to_rle(segmentation, *size)
    return mask if coco_mask.area(mask) else None


def list_frames(frames: Path | None, name: str, length: int | None = None) -> list[str]:
    """The file names of a video's frames, relative to the folder of all videos.

    Args:
        frames: a folder that holds a folder of images with the name of the video, or the images
            themselves. Without it, names are made up: NAME/00000.jpg, NAME/00001.jpg, ...
        name: of the video.
        length: the number of frames L, if known.

    Raises:
        AnnotationError: if there is no such folder, or it has another number of images.
    """
    if escapes_folder(name):
        raise AnnotationError(f"{quote(name)} cannot be the folder of a video's frames")
    if length is not None and not 0 < length <= MAX_FRAMES:
        raise AnnotationError(
            f"video {quote(name)}: {length} frames; there must be 1 to {MAX_FRAMES}"
        )
    if frames is None:
        return [f"{name}/{t:05d}.jpg" for t in range(length or 0)]
    folder, prefix = (frames / name, f"{name}/") if (frames / name).is_dir() else (frames, "")
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: there is no such folder")
    found = [x.name for x in folder.iterdir() if x.suffix.lower() in IMAGE_SUFFIXES]
    names = natural_sort(x for x in found if not x.startswith("."))
    if not names:
        raise AnnotationError(f"{frames} has neither images nor a folder {quote(name)} with images")
    if length not in (None, len(names)):
        raise AnnotationError(
            f"{folder} has {len(names)} images, but video {quote(name)} {length} frames"
        )
    return [prefix + x for x in names]


def group_frames(names: list[str]) -> dict[str, list[str]]:
    """The frames of each video, that is, of each folder, in order.

    Raises:
        AnnotationError: if a name is used twice or points outside the folder of all videos.
    """
    videos: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if escapes_folder(name):
            text = "is not in the folder of the frames"
            raise AnnotationError(f"frame {quote(name)} {text}")
        if "\\" in name:
            raise AnnotationError(f"frame {quote(name)}: write / between folders")
        videos[video_name(name)].append(name)
    for frames in videos.values():
        if len(set(frames)) < len(frames):
            (name, _), *_ = Counter(frames).most_common(1)
            raise AnnotationError(f"two frames have the name {quote(name)}")
    return {video: natural_sort(videos[video]) for video in natural_sort(videos)}


def video_name(file_name: str) -> str:
    """The name of the video of a frame: its folder."""
    return str(PurePosixPath(file_name).parent)
