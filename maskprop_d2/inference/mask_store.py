"""Storage for the finished masks of a video, which may be too many for memory."""

import weakref
from array import array
from collections.abc import Mapping
from tempfile import SpooledTemporaryFile

from ..structures import RLE

MAX_MEMORY = 16 * 2**20
"""Bytes of masks above which they move to a temporary file."""


class MaskStore:
    """Takes the RLEs of all tracks frame by frame, and returns them track by track.

    Apart from ``MAX_MEMORY`` bytes, only an index stays in memory: 24 bytes per mask.

    Attributes:
        num_frames: frames added so far.
    """

    def __init__(self) -> None:
        self.num_frames = 0
        self._counts = SpooledTemporaryFile(max_size=MAX_MEMORY)  # noqa: SIM115
        weakref.finalize(self, self._counts.close)
        self._end = 0
        self._size: list[int] = []
        # For each track a flat list of frame, offset in the file and length of its masks.
        self._index: dict[int, array[int]] = {}

    def add_frame(self, masks: Mapping[int, RLE]) -> None:
        """Add the masks of the next frame, by track id; all masks of a video have one size."""
        self._counts.seek(self._end)
        for track_id, mask in masks.items():
            self._size = mask["size"]
            counts = mask["counts"].encode()
            self._counts.write(counts)
            entries = self._index.setdefault(track_id, array("q"))
            entries.extend((self.num_frames, self._end, len(counts)))
            self._end += len(counts)
        self.num_frames += 1

    def track_ids(self) -> list[int]:
        """The sorted ids of all tracks with a mask."""
        return sorted(self._index)

    def track(self, track_id: int, num_frames: int) -> list[RLE | None]:
        """The masks of a track in the first ``num_frames`` frames; None for a frame without one."""
        masks: list[RLE | None] = [None] * num_frames
        entries = self._index[track_id]
        for frame, offset, length in zip(entries[::3], entries[1::3], entries[2::3], strict=True):
            if frame >= num_frames:
                break
            self._counts.seek(offset)
            counts = self._counts.read(length).decode()
            masks[frame] = {"size": list(self._size), "counts": counts}
        return masks
