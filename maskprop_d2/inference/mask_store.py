"""The finished masks of a video's tracks. An hour of video has more of them than memory should."""

import weakref
from array import array
from collections.abc import Iterator, Mapping
from tempfile import SpooledTemporaryFile

from ..structures import RLE

IN_MEMORY = 16 * 2**20
"""Bytes of masks from which on they move to a temporary file."""


class MaskStore:
    """Keeps the RLEs of all tracks, frame by frame, and gives them track by track.

    Only where each one lies stays in memory: 24 bytes a mask.

    Attributes:
        num_frames: frames added so far.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        """
        Args:
            in_memory: see ``IN_MEMORY``.
        """
        self.num_frames = 0
        self._counts = SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115
        weakref.finalize(self, self._counts.close)
        self._end = 0
        self._size: list[int] = []
        # Of each track, for each of its masks: frame, place in the file, length.
        self._places: dict[int, array[int]] = {}

    def add_frame(self, masks: Mapping[int, RLE]) -> None:
        """Add the masks of the next frame, by track id; all are of one size."""
        self._counts.seek(self._end)
        for track_id, mask in masks.items():
            self._size = mask["size"]
            counts = mask["counts"].encode()
            self._counts.write(counts)
            place = self._places.setdefault(track_id, array("q"))
            place.extend((self.num_frames, self._end, len(counts)))
            self._end += len(counts)
        self.num_frames += 1

    def track_ids(self) -> list[int]:
        """The ids of all tracks with a mask, sorted."""
        return sorted(self._places)

    def track(self, track_id: int, num_frames: int) -> list[RLE | None]:
        """A track's masks in the first frames; None where it has none."""
        masks: list[RLE | None] = [None] * num_frames
        for frame, start, length in _triples(self._places[track_id]):
            if frame >= num_frames:
                break
            self._counts.seek(start)
            counts = self._counts.read(length).decode()
            masks[frame] = {"size": list(self._size), "counts": counts}
        return masks


def _triples(values: "array[int]") -> Iterator[tuple[int, int, int]]:
    return zip(values[::3], values[1::3], values[2::3], strict=True)
