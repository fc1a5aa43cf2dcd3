"""The files of the Cell Tracking Challenge: numbered TIFF images and lists of tracks."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from maskprop_d2.errors import AnnotationError
from maskprop_d2.video.id_masks import MAX_ID


class CellTrack(NamedTuple):
    """A line of ``man_track.txt``.

    Attributes:
        label: the pixel value of the cell in label images.
        first, last: the first and last frame in which it is seen.
        parent: the label of the cell that divided, 0 for none.
    """

    label: int
    first: int
    last: int
    parent: int


def read_tracks(path: Path) -> dict[int, CellTrack]:
    """The tracks of a ``man_track.txt`` or ``res_track.txt``, by label.

    Raises:
        AnnotationError: naming the line that is not a track, or does not fit the others.
    """
    tracks: dict[int, CellTrack] = {}
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        words = line.split()
        if len(words) != 4 or not all(re.fullmatch("[0-9]{1,9}", x) for x in words):
            raise AnnotationError(
                f"{where}: {line[:40]!r} must be four numbers: label, first frame, last frame, and "
                "the parent's label or 0"
            )
        track = CellTrack(*map(int, words))
        if not 1 <= track.label <= MAX_ID:
            raise AnnotationError(f"{where}: a label must be 1 to {MAX_ID}, not {track.label}")
        if track.label in tracks:
            raise AnnotationError(f"{where}: there are two tracks with the label {track.label}")
        if track.first > track.last:
            raise AnnotationError(
                f"{where}: the first frame ({track.first}) is after the last ({track.last})"
            )
        tracks[track.label] = track
    for track in tracks.values():
        if track.parent and track.parent not in tracks:
            raise AnnotationError(
                f"{path}: there is no track {track.parent}, the parent of {track.label}"
            )
        if track.parent and tracks[track.parent].last >= track.first:
            raise AnnotationError(
                f"{path}: track {track.label} starts in frame {track.first}, but its parent "
                f"{track.parent} ends only in frame {tracks[track.parent].last}"
            )
    return tracks


def write_tracks(path: Path, tracks: Iterable[CellTrack]) -> None:
    """Write a ``man_track.txt`` or ``res_track.txt``."""
    path.write_text("".join(f"{x.label} {x.first} {x.last} {x.parent}\n" for x in tracks))


def find_images(folder: Path) -> dict[int, Path]:
    """The TIFF images of a folder, by the number at the end of their names, in order.

    Raises:
        AnnotationError: if there are none, or two have the same number.
    """
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: there is no such folder")
    images: dict[int, Path] = {}
    for path in sorted(folder.glob("*.tif")):
        digits = re.search("[0-9]{1,9}$", path.stem)
        if digits and not path.name.startswith("."):
            other = images.setdefault(int(digits[0]), path)
            if other != path:
                raise AnnotationError(f"{path} and {other.name} have the same number")
    if not images:
        raise AnnotationError(f"{folder} holds no .tif with a number in its name")
    return dict(sorted(images.items()))
