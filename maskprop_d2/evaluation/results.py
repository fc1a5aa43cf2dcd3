"""Reading predicted tracks, and telling those that do not fit the ground truth."""

import itertools
import logging
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..ops.rle import MaskSizeError, track_to_counts
from .tracks import Track, Video, average_area, best_by_category, read_videos
from .ytvis_json import AnnotationError, is_id, is_number


class MismatchError(AnnotationError):
    """An entry that is well formed, but does not fit the ground truth.

    Attributes:
        kind: what is wrong, to be said of several entries.
    """

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


class Tally:
    """Counts entries by what is wrong with them, and keeps an example of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, example: object) -> None:
        """Count one more; only the first example of a kind is kept."""
        count, first = self._found.get(kind, (0, str(example)))
        self._found[kind] = count + 1, first

    def lines(self) -> list[str]:
        """A line for each kind."""
        return [
            f"{count} {'entry' if count == 1 else 'entries'} with {kind}, for example {example}"
            for kind, (count, example) in self._found.items()
        ]


def read_tracks(
    ground_truth: Any,
    results: Iterable[Any],
    sources: tuple[str | Path, str | Path],
    *,
    strict: bool = False,
) -> list[Video]:
    """The videos by rising id, with their objects and predictions.

    Args:
        ground_truth, results, sources, strict: as of ``evaluate``.

    Raises:
        AnnotationError: if either is malformed, or, if strict, entries do not fit.
    """
    videos = read_videos(ground_truth, sources[0])
    category_ids = {x["id"] for x in ground_truth["categories"]}
    left_out = add_predictions(videos, category_ids, results, sources[1]).lines()
    if strict and left_out:
        raise AnnotationError(f"{sources[1]}: {'; '.join(left_out)}")
    for line in left_out:
        logging.getLogger(__name__).warning("%s: left out: %s", sources[1], line)
    return list(videos.values())


def add_predictions(
    videos: dict[int, Video],
    category_ids: set[int],
    results: Iterable[Any],
    source: str | Path,
) -> Tally:
    """Give the videos their predictions, at least the best of each category.

    Args:
        videos: by id.
        category_ids: those that are known.
        results: entries with ``video_id``, ``category_id``, ``score``, ``segmentations``; they
            are read once, one by one.
        source: their name, for messages.

    Returns:
        the entries that do not fit and are left out.

    Raises:
        AnnotationError: naming the first entry that is malformed.
    """
    if not isinstance(results, Iterable) or isinstance(results, dict | str):
        raise AnnotationError(f"{source}: must be a list of predicted tracks")
    left_out = Tally()
    for i, entry in enumerate(results):
        try:
            video, track = read_prediction(entry, videos, category_ids, f"entry {i}")
        except MismatchError as error:
            left_out.add(error.kind, error)
            continue
        except AnnotationError as error:
            raise AnnotationError(f"{source}: {error}") from error
        video.predictions.append(track)
        # So that no video holds many more than can count.
        if len(video.predictions) % 1000 == 0:
            best = best_by_category(video.predictions)
            video.predictions = list(itertools.chain(*best.values()))
    return left_out


def read_prediction(
    entry: Any, videos: dict[int, Video], category_ids: set[int], where: str
) -> tuple[Video, Track]:
    """One entry of a results file, and its video.

    Raises:
        MismatchError: if its video or category is unknown, or its length or its masks' size is
            not its video's.
        AnnotationError: if it is malformed.
    """
    if not isinstance(entry, dict):
        raise AnnotationError(f"{where} must be an object")
    for key in ("video_id", "category_id"):
        if not is_id(entry.get(key)):
            value = reprlib.repr(entry.get(key))
            raise AnnotationError(f"{where}: '{key}' must be a whole number from 0, not {value}")
    if not is_number(entry.get("score")):
        value = reprlib.repr(entry.get("score"))
        raise AnnotationError(f"{where}: 'score' must be a number, not {value}")
    masks = entry.get("segmentations")
    if not isinstance(masks, list):
        raise AnnotationError(f"{where}: 'segmentations' must be a list of masks or nulls")
    video = videos.get(entry["video_id"])
    if video is None:
        raise MismatchError(f"{where}: 'video_id' {entry['video_id']}", "an unknown video")
    if entry["category_id"] not in category_ids:
        raise MismatchError(f"{where}: 'category_id' {entry['category_id']}", "an unknown category")
    if len(masks) != video.length:
        raise MismatchError(
            f"{where}: 'segmentations' has {len(masks)} masks or nulls, but video {video.id} has "
            f"{video.length} frames",
            "another length than the video's",
        )
    try:
        counts, areas = track_to_counts(masks, video.height, video.width)
    except MaskSizeError as error:
        raise MismatchError(
            f"{where}, {error}", "masks of another size than the frame's"
        ) from error
    except ValueError as error:
        raise AnnotationError(f"{where}, {error}") from error
    average = average_area(areas)
    return video, Track(entry["category_id"], counts, areas, average, float(entry["score"]))
