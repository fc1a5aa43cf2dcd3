"""Comparing the tracks of one video: all that needs its masks. Runs for many videos at once."""

from dataclasses import dataclass, field
from functools import partial

from .identity import FramePairs, frame_pairs
from .matching import Matches, match
from .oracle import ORACLES
from .overlap import frame_intersections, video_ious
from .tracks import Video, best_by_category

PARALLEL_FROM = 10**6
"""Pairs of masks from which on it pays to start processes."""


@dataclass
class VideoMatches:
    """What is known of a video when its masks have been compared.

    Attributes:
        video_id: the file's own id.
        by_category: for each category id that the video has tracks of.
        frame_pairs: the same for the measures of identity, if they were asked for.
    """

    video_id: int
    by_category: dict[int, Matches] = field(default_factory=dict)
    frame_pairs: dict[int, FramePairs] = field(default_factory=dict)


def score_video(video: Video, oracle: str | None = None, identity: bool = False) -> VideoMatches:
    """Match the predictions of one video.

    Args:
        video: with its tracks.
        oracle: a name in ``ORACLES``, of what is replaced by the ground truth first.
        identity: whether ``frame_pairs`` is wanted.
    """
    best = best_by_category(video.predictions)
    if oracle is not None:
        best = best_by_category(ORACLES[oracle](video, [x for y in best.values() for x in y]))
    result = VideoMatches(video.id)
    for category_id in sorted(best.keys() | {x.category_id for x in video.truth}):
        predictions = best.get(category_id, [])
        truth = [x for x in video.truth if x.category_id == category_id]
        shared = frame_intersections(video, predictions, truth)
        ious = video_ious(video, predictions, truth, shared)
        result.by_category[category_id] = match(ious, predictions, truth)
        if identity:
            result.frame_pairs[category_id] = frame_pairs(video, predictions, truth, shared)
    return result


def score_videos(
    videos: list[Video], oracle: str | None, identity: bool, processes: int
) -> list[VideoMatches]:
    """``score_video`` for each, spread over processes if there is much to do."""
    score = partial(score_video, oracle=oracle, identity=identity)
    pairs = sum(len(x.predictions) * len(x.truth) * x.length for x in videos)
    if processes == 1 or pairs < PARALLEL_FROM:
        return [score(video) for video in videos]
    # Loaded only where they are needed, as it takes time.
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # Not forked: a fork of a process with threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(videos)), context) as pool:
        return list(pool.map(score, videos))
