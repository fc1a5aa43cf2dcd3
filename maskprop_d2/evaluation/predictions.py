"""Reading predicted tracks, and telling those that do not fit the ground truth."""

import itertools
import logging
import reprlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AnnotationError, MaskSizeError, MismatchError
from ..ops.rle import track_to_counts, tracks_to_counts
from ..ytvis.reading import is_id, is_number
from .tracks import Track, Video, average_area, best_by_category, read_videos

BATCH = 8
"""Entries whose masks are checked together: more would not stay in the processor's cache."""


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
    entries = enumerate(results)
    while batch := list(itertools.islice(entries, BATCH)):
        for video, track in _read_batch(batch, videos, category_ids, source, left_out):
            video.predictions.append(track)
            # So that no video holds many more than can count.
            if len(video.predictions) % 1000 == 0:
                best = best_by_category(video.predictions)
                video.predictions = list(itertools.chain(*best.values()))
    return left_out


def _read_batch(
    batch: list[tuple[int, Any]],
    videos: dict[int, Video],
    category_ids: set[int],
    source: str | Path,
    left_out: Tally,
) -> Iterator[tuple[Video, Track]]:
    """The entries that fit; the others are added to ``left_out``."""
    try:
        yield from read_predictions(batch, videos, category_ids)
        return
    except AnnotationError:
        # Once more, one by one, to find out which it was.
        pass
    for numbered_entry in batch:
        try:
            yield from read_predictions([numbered_entry], videos, category_ids)
        except MismatchError as error:
            left_out.add(error.kind, error)
        except AnnotationError as error:
            raise AnnotationError(f"{source}: {error}") from error


def read_predictions(
    entries: list[tuple[int, Any]], videos: dict[int, Video], category_ids: set[int]
) -> list[tuple[Video, Track]]:
    """Entries of a results file with their numbers -> their tracks, each with its video.

    Raises:
        MismatchError: if the video or category of one is unknown, or its length or its masks'
            size is not its video's.
        AnnotationError: if one is malformed.
    """
    of_videos = [_check_entry(entry, videos, category_ids, f"entry {i}") for i, entry in entries]
    tracks = [
        (entry["segmentations"], video.height, video.width)
        for (_, entry), video in zip(entries, of_videos, strict=True)
    ]
    try:
        masks = tracks_to_counts(tracks)
    except ValueError:
        # Once more, one by one, to find out which it was.
        masks = [
            _checked_masks(*x, f"entry {i}") for (i, _), x in zip(entries, tracks, strict=True)
        ]
    return [
        (
            video,
            Track(entry["category_id"], counts, areas, average_area(areas), float(entry["score"])),
        )
        for (_, entry), video, (counts, areas) in zip(entries, of_videos, masks, strict=True)
    ]


def _checked_masks(
    masks: list[Any], height: int, width: int, where: str
) -> tuple[list[bytes | None], np.ndarray]:
    try:
        return track_to_counts(masks, height, width)
    except MaskSizeError as error:
        raise MismatchError(
            f"{where}, {error}", "masks of another size than the frame's"
        ) from error
    except ValueError as error:
        raise AnnotationError(f"{where}, {error}") from error


def _check_entry(entry: Any, videos: dict[int, Video], category_ids: set[int], where: str) -> Video:
    """The video of an entry that is right but for its masks, which are not looked at."""
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
    return video
