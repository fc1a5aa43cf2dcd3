"""Reading predicted tracks from a results file."""

import itertools
import logging
import reprlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import AnnotationError, MaskSizeError
from ..ops.rle import compress_tracks
from ..ytvis.checks import is_id, is_number
from ..ytvis.problems import EntryProblem, ProblemReport
from .track_spool import add_prediction
from .tracks import Track, Video, average_area, read_videos

BATCH = 8  # Entries whose masks are checked together: more do not fit into the processor's cache.


def read_tracks(
    ground_truth: Any, results: Iterable[Any], sources: tuple[str | Path, str | Path]
) -> list[Video]:
    """The videos with their objects and predictions, by rising id; arguments as for ``evaluate``.

    Raises:
        AnnotationError: if the ground truth or entries of the results are malformed. It lists all
            of these by kind.
    """
    videos = read_videos(ground_truth, sources[0])
    for video, track in iterate_tracks(ground_truth, videos, results, sources[1]):
        add_prediction(video.predictions, track)
    return list(videos.values())


def iterate_tracks(
    ground_truth: Any,
    videos: dict[int, Video],
    results: Iterable[Any],
    source: str | Path,
    *,
    strict: bool = False,
) -> Iterator[tuple[Video, Track]]:
    """The predictions of the known ``videos``, in file order; other arguments as for ``evaluate``.

    Raises:
        AnnotationError: at the end, if entries are malformed, or, if strict, do not match the
            ground truth. It lists all of them by kind.
    """
    if not isinstance(results, Iterable) or isinstance(results, dict | str):
        raise AnnotationError(f"{source}: must be a list of predicted tracks")
    category_ids = {x["id"] for x in ground_truth["categories"]}
    report = ProblemReport()
    yield from read_predictions(results, videos, category_ids, report)
    lines = "; ".join(describe(report))
    if report.fatal or (strict and report.counts):
        raise AnnotationError(f"{source}: {lines}")
    if report.counts:
        logging.getLogger(__name__).warning("%s: dropped %s", source, lines)


def read_predictions(
    entries: Iterable[Any],
    videos: dict[int, Video],
    category_ids: set[int],
    report: ProblemReport,
    *,
    compressed_only: bool = False,
) -> Iterator[tuple[Video, Track]]:
    """Read the entries of a results file, a few at a time.

    Args:
        entries: as for ``evaluate``.
        videos, category_ids: the known videos by id, and the ids of the known categories.
        report: the bad entries are added to it.
        compressed_only: allow no other masks than compressed RLEs and null.

    Yields:
        the track of each good entry, with its video.
    """
    numbered = enumerate(entries)
    while batch := list(itertools.islice(numbered, BATCH)):
        checked = []
        for i, entry in batch:
            if problem := _find_problem(entry, videos, category_ids):
                report.add(problem[0], f"entry {i}: {problem[1]}")
            else:
                checked.append((i, entry, videos[entry["video_id"]]))
        tracks = compress_tracks([(x["segmentations"], v.height, v.width) for _, x, v in checked])
        for (i, entry, video), (counts, areas, errors) in zip(checked, tracks, strict=True):
            if errors:
                t, error = min(errors.items())
                is_size = isinstance(error, MaskSizeError)
                kind = EntryProblem.MASK_SIZE if is_size else EntryProblem.BAD_MASK
                report.add(kind, f"entry {i}, frame {t}: {error}")
            elif compressed_only and not all(map(_is_compressed, entry["segmentations"])):
                report.add(EntryProblem.MASK_FORMAT, f"entry {i}")
            else:
                score = float(entry["score"])
                yield video, Track(entry["category_id"], counts, areas, average_area(areas), score)


def describe(report: ProblemReport) -> list[str]:
    """A text for each kind of bad entries, with their number and an example."""
    return [
        f"{count} {'entry' if count == 1 else 'entries'} {problem.text}, for example "
        f"{report.examples[problem][0]}"
        for problem, count in report.ranked()
    ]


def _find_problem(
    entry: Any, videos: dict[int, Video], category_ids: set[int]
) -> tuple[EntryProblem, str] | None:
    """What is wrong with an entry, apart from its masks."""
    if not isinstance(entry, dict):
        return EntryProblem.BAD_TYPE, f"must be an object, not {reprlib.repr(entry)}"
    video_id, category_id, score, masks = map(
        entry.get, ("video_id", "category_id", "score", "segmentations")
    )
    for key in ("video_id", "category_id"):
        if not is_id(entry.get(key)):
            text = f"'{key}' must be a non-negative integer, not {reprlib.repr(entry.get(key))}"
            return EntryProblem.BAD_ID, text
    if not is_number(score):
        return EntryProblem.BAD_SCORE, f"'score' must be a number, not {reprlib.repr(score)}"
    if not isinstance(masks, list):
        return EntryProblem.BAD_TRACK, f"'segmentations' must be a list, not {reprlib.repr(masks)}"
    if video_id not in videos:
        return EntryProblem.UNKNOWN_VIDEO, f"'video_id' is {video_id}"
    if category_id not in category_ids:
        return EntryProblem.UNKNOWN_CATEGORY, f"'category_id' is {category_id}"
    if len(masks) != videos[video_id].length:
        text = f"{len(masks)} masks or nulls for {videos[video_id].length} frames"
        return EntryProblem.TRACK_LENGTH, f"{text} of video {video_id}"
    return None


def _is_compressed(mask: Any) -> bool:
    return mask is None or (isinstance(mask, dict) and isinstance(mask["counts"], str))
