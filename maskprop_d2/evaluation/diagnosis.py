"""What costs AP: the shares of the kinds of error in the AP that is lost.

Repairing one kind of error (``repair.py``) gains AP, but how much depends on which others have been
repaired before. The share of a kind is its mean gain over all orders of the kinds, its Shapley
value. The shares add up to all of the lost AP, no order is preferred, and kinds without errors have
a share of 0. (The gains of TIDE, each from the predictions as they are, do not add up.)

Ranking is not one of these kinds: false positives cost AP only because of their scores, so that
perfect scores would take over a part of every other share. What they alone would gain is reported
beside the shares.

The same is done for the recall of each object, the share of the IoU thresholds at which any
prediction matches it, to tell which objects suffer from what.

A set of kinds that are repaired is a number with a bit for each kind: K kinds, 2^K sets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import factorial

import numpy as np

from .matching import Matches, match
from .object_groups import LIMITS, group_names
from .repair import (
    REPAIRS,
    Scene,
    Tracks,
    remove_duplicates,
    repair_categories,
    repair_scores,
)
from .scoring import map_videos
from .tracks import MAX_TRACKS, Track, Video, best_by_category
from .video_ap import precision_recall
from .worst_cases import Case, find_cases, worst_cases

KINDS = tuple(REPAIRS)
SETS = 2 ** len(KINDS)


@dataclass
class VideoDiagnosis:
    """The scores of one video with each set of kinds repaired.

    Attributes:
        matches: for each of the 2^K sets, by category id.
        recall: (2^K, G) share of the IoU thresholds at which each object is matched.
        groups: for each object, the names of its groups by property (``object_groups.py``).
        splits: how many tracks too many show the objects, if duplicates do not count.
        merges: how many objects too many the tracks show.
        ranked: the matches with perfect scores and no other repair.
        cases: the errors, each with a frame that shows it.
    """

    matches: list[dict[int, Matches]]
    recall: np.ndarray
    groups: list[dict[str, str]]
    splits: int
    merges: int
    ranked: dict[int, Matches]
    cases: list[Case]


@dataclass
class Group:
    """Objects that have something in common.

    Attributes:
        objects: their number.
        recall: in percent, the mean over the objects and IoU thresholds.
        lost: by kind of error, its share in the lost recall, in percentage points.
    """

    objects: int
    recall: float
    lost: dict[str, float]


@dataclass
class Diagnosis:
    """What costs AP.

    Attributes:
        ap: in percent; None if there are no objects.
        lost: by kind of error, its share in the lost AP, in percentage points.
        ranking: how many points AP would gain with perfect scores, and no other repair.
        splits, merges: as of ``VideoDiagnosis``, of all videos.
        groups: by property and name.
        worst: by kind of error, the ids of the videos that lose most recall to it, and how many
            points of the recall of all objects that is.
        cases: by kind of error, the worst errors.
    """

    ap: float | None
    lost: dict[str, float]
    ranking: float
    splits: int
    merges: int
    groups: dict[str, dict[str, Group]]
    worst: dict[str, dict[int, float]]
    cases: dict[str, list[Case]]


def diagnose(videos: list[Video], category_ids: list[int], processes: int = 1) -> Diagnosis:
    """Find out what costs AP.

    Args:
        videos: as of ``read_tracks``.
        category_ids: of all categories.
        processes: as for ``evaluate``.
    """
    found = map_videos(diagnose_video, videos, processes)
    sets = [[x.matches[i] for x in found] for i in range(SETS)]
    *repaired, ranked = _average_precision([*sets, [x.ranked for x in found]], category_ids)
    ap = np.array(repaired)
    lost = _shares(ap)
    recall = 100 * np.concatenate([np.zeros((SETS, 0)), *(x.recall for x in found)], axis=1)
    recall_lost = _shares(recall)
    number = max(1, recall.shape[1])
    video = np.repeat(np.arange(len(found)), [x.recall.shape[1] for x in found])
    worst_videos = {}
    for kind, points in recall_lost.items():
        by_video = np.bincount(video, points, len(found)) / number
        order = np.argsort(-by_video, kind="stable")[:10]
        worst_videos[kind] = {videos[v].id: float(by_video[v]) for v in order if by_video[v] > 1e-9}
    objects = [(x.id, g) for x in videos for g in range(len(x.objects))]
    by_object = {k: dict(zip(objects, x.tolist(), strict=True)) for k, x in recall_lost.items()}
    cases = [x for y in found for x in y.cases]
    return Diagnosis(
        None if np.isnan(ap[0]) else float(ap[0]),
        {kind: float(x) for kind, x in lost.items()},
        float(ranked - ap[0]),
        sum(x.splits for x in found),
        sum(x.merges for x in found),
        _grouped([x for y in found for x in y.groups], recall[0], recall_lost),
        worst_videos,
        {kind: worst_cases([x for x in cases if x.kind == kind], by_object) for kind in KINDS},
    )


def diagnose_video(video: Video) -> VideoDiagnosis:
    """Match the predictions of a video with each set of kinds repaired."""
    best = best_by_category(video.predictions)
    scene = Scene(video, [x for _, y in sorted(best.items()) for x in y])
    results = list(_repaired(scene, scene.tracks, list(REPAIRS)))
    matches = [x for x, _ in results]
    recall = np.stack([x for _, x in results])
    splits, merges = _identity_errors(scene)
    ranked, _ = _match(scene, repair_scores(scene, scene.tracks))
    cases = find_cases(scene, video.id)
    return VideoDiagnosis(matches, recall, group_names(video), splits, merges, ranked, cases)


def _repaired(
    scene: Scene, tracks: Tracks, kinds: list[str]
) -> Iterator[tuple[dict[int, Matches], np.ndarray]]:
    """The matches and recalls with each set of these kinds repaired. The first kind is repaired in
    the second half of the sets, and so on."""
    if not kinds:
        yield _match(scene, tracks)
        return
    first, *others = kinds
    repaired = REPAIRS[first](scene, tracks)
    without = list(_repaired(scene, _after(first, scene, tracks), others))
    yield from without
    if repaired is tracks:  # Mostly, there is nothing to repair.
        yield from without
    else:
        yield from _repaired(scene, _after(first, scene, repaired), others)


def _after(kind: str, scene: Scene, tracks: Tracks) -> Tracks:
    """What is left after a kind, repaired or not: a track in a wrong category is no duplicate of
    one in the right category, and must not become one, but identities may need its masks."""
    if kind != "identity" or not tracks.relabel.any():
        return tracks
    return remove_duplicates(scene, repair_categories(scene, tracks), renamed_only=True)


def _match(scene: Scene, tracks: Tracks) -> tuple[dict[int, Matches], np.ndarray]:
    """The matches by category id, and the (G,) recalls of the objects."""
    ious = scene.ious(tracks)
    found = np.zeros(len(scene.truth))
    matches = {}
    truth_categories = np.array([x.category_id for x in scene.truth], int)
    for category_id in sorted({*tracks.category.tolist(), *truth_categories.tolist()}):
        members = np.flatnonzero(tracks.category == category_id)
        members = members[np.argsort(-tracks.score[members], kind="stable")][:MAX_TRACKS]
        here = np.flatnonzero(truth_categories == category_id)
        predictions = [
            Track(category_id, [], np.zeros(0), 0.0, float(x)) for x in tracks.score[members]
        ]
        result = match(ious[np.ix_(members, here)], predictions, [scene.truth[i] for i in here])
        found[here] = result.found[0].mean(0)
        matches[category_id] = result
    return matches, found[scene.objects]


def _average_precision(
    sets: list[list[dict[int, Matches]]], category_ids: list[int]
) -> list[float]:
    """AP in percent of each set of matches, of all videos by category id; NaN without objects."""
    by_category = []
    for category_id in category_ids:
        known: dict[tuple[int, ...], float] = {}
        values = []
        for videos in sets:
            here = [x[category_id] for x in videos if category_id in x]
            # Repairs that change nothing share their matches.
            key = tuple(map(id, here))
            if key not in known:
                counts = any(x.num_objects[0] for x in here)
                known[key] = float(precision_recall(here, 0, 100)[0].mean()) if counts else np.nan
            values.append(known[key])
        if not np.isnan(values).all():
            by_category.append(values)
    if not by_category:
        return [np.nan] * len(sets)
    return list(100 * np.mean(by_category, axis=0))


def _shares(values: np.ndarray) -> dict[str, np.ndarray]:
    """The Shapley values of the kinds, from the (2^K, ...) values of the sets."""
    number = len(KINDS)
    shares = {}
    for i, kind in enumerate(KINDS):
        bit = 1 << (number - 1 - i)
        gains = np.zeros(values.shape[1:])
        for repaired in range(SETS):
            if not repaired & bit:
                size = bin(repaired).count("1")
                weight = factorial(size) * factorial(number - size - 1) / factorial(number)
                gains = gains + weight * (values[repaired | bit] - values[repaired])
        shares[kind] = gains
    return shares


def _identity_errors(scene: Scene) -> tuple[int, int]:
    """How many tracks too many show the objects, and how many objects too many the tracks show."""
    # Of duplicates, only the best is of interest here.
    tracks = remove_duplicates(scene, scene.tracks)
    shown = (tracks.shows[..., None] == np.arange(len(scene.objects))).any(1)
    merges = np.maximum(shown.sum(1) - 1, 0).sum()
    followers = np.zeros(len(scene.objects), int)
    for g, category_id in enumerate(scene.categories):
        followers[g] = shown[tracks.category == category_id, g].sum()
    return int(np.maximum(followers - 1, 0).sum()), int(merges)


def _grouped(
    names: list[dict[str, str]], recall: np.ndarray, lost: dict[str, np.ndarray]
) -> dict[str, dict[str, Group]]:
    groups: dict[str, dict[str, Group]] = {}
    for prop, order in LIMITS.items():
        groups[prop] = {}
        for name in order:
            here = np.array([x[prop] == name for x in names], bool)
            if here.any():
                by_kind = {kind: float(x[here].mean()) for kind, x in lost.items()}
                group = Group(int(here.sum()), float(recall[here].mean()), by_kind)
                groups[prop][name] = group
    return groups
