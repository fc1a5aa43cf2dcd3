"""Predicted tracks on disk, so that memory does not grow with their masks."""

import pickle
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .tracks import Track, Video, best_by_category

TRIM_EVERY = 1000  # After this many predictions of a video, those that cannot count are dropped.


class TrackSpool:
    """Predictions in a temporary file, which is deleted at the end of a ``with`` block.

    They may come in any order, and are read back video by video.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._end = 0
        self._places: dict[int, list[int]] = defaultdict(list)

    def __enter__(self) -> "TrackSpool":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, video: Video, track: Track) -> None:
        """Write a prediction.

        Raises:
            OSError: if the disk is full.
        """
        self._places[video.id].append(self._end)
        self._end += self._file.write(pickle.dumps(track, pickle.HIGHEST_PROTOCOL))

    def read(self, videos: Iterable[Video]) -> Iterator[Video]:
        """The videos with their predictions, in the order in which those were added."""
        for video in videos:
            predictions: list[Track] = []
            for place in self._places[video.id]:
                self._file.seek(place)
                add_prediction(predictions, pickle.load(self._file))
            yield replace(video, predictions=predictions)


def add_prediction(predictions: list[Track], track: Track) -> None:
    """Append a prediction of a video, and now and then drop those that cannot count."""
    predictions.append(track)
    if len(predictions) % TRIM_EVERY == 0:
        best = best_by_category(predictions)
        predictions[:] = [x for tracks in best.values() for x in tracks]
