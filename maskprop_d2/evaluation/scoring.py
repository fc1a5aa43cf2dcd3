"""Scoring the videos one by one: everything that needs their masks, in parallel."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from .hota import TrackingCounts, tracking_counts
from .identity import FramePairs, frame_pairs
from .matching import Matches, match
from .oracle import ORACLES
from .overlap import Overlaps
from .reappearance import reappearances
from .tracks import Track, Video, best_by_category

Result = TypeVar("Result")
PARALLEL_FROM = 10**6  # Pairs of masks after which processes are started.
VIDEOS_AHEAD = 8  # Videos that wait for each process.


@dataclass
class VideoMatches:
    """The matches in a video.

    Attributes:
        video_id: as in the file.
        by_category: for each category id of the video's tracks.
        frame_pairs: the same for the identity measures, if requested.
        reappearances: of all objects, if identity measures are requested.
        tracking: what HOTA counts in each category, if requested.
    """

    video_id: int
    by_category: dict[int, Matches] = field(default_factory=dict)
    frame_pairs: dict[int, FramePairs] = field(default_factory=dict)
    reappearances: list[tuple[bool, bool]] = field(default_factory=list)
    tracking: dict[int, TrackingCounts] = field(default_factory=dict)


def score_video(
    video: Video, oracle: str | None = None, identity: bool = False, hota: bool = False
) -> VideoMatches:
    """Match the predictions of one video; other arguments as for ``evaluate``."""
    best = best_by_category(video.predictions)
    if oracle is not None:
        best = best_by_category(ORACLES[oracle](video, [x for y in best.values() for x in y]))
    result = VideoMatches(video.id)
    for category_id in sorted(best.keys() | {x.category_id for x in video.truth}):
        predictions = best.get(category_id, [])
        truth = [x for x in video.truth if x.category_id == category_id]
        overlaps = Overlaps(video, predictions, truth)
        result.by_category[category_id] = match(overlaps.video_ious(), predictions, truth)
        if identity:
            result.frame_pairs[category_id] = frame_pairs(overlaps, predictions, truth)
        if hota:
            order = _file_order(video, predictions)
            result.tracking[category_id] = tracking_counts(overlaps, predictions, truth, order)
    if identity:
        result.reappearances = list(reappearances(video, [x for y in best.values() for x in y]))
    return result


def _file_order(video: Video, predictions: list[Track]) -> list[int]:
    """The indices of the predictions in file order; those made by oracles stay as they are."""
    position = {id(x): i for i, x in enumerate(video.predictions)}
    return sorted(range(len(predictions)), key=lambda i: position.get(id(predictions[i]), 0))


def map_videos(
    function: Callable[[Video], Result], videos: Iterable[Video], processes: int
) -> list[Result]:
    """The result of a function for each video, in several processes for large inputs."""
    videos = iter(videos)
    results: list[Result] = []
    pairs = 0
    while processes == 1 or pairs < PARALLEL_FROM:
        if (video := next(videos, None)) is None:
            return results
        results.append(function(video))
        pairs += len(video.predictions) * len(video.truth) * video.length
    # Imported late because it takes time.
    import multiprocessing
    from concurrent.futures import Future, ProcessPoolExecutor

    # Forking a process with threads can hang.
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, context) as pool:
        for video in videos:
            waiting.append(pool.submit(function, video))
            if len(waiting) > VIDEOS_AHEAD * processes:
                results.append(waiting.popleft().result())
        return results + [x.result() for x in waiting]
