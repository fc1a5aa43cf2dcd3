"""Scoring with the predictions on disk."""

import tracemalloc

import numpy as np
import pytest

from maskprop_d2.evaluation import evaluate
from maskprop_d2.evaluation.track_spool import TRIM_EVERY, TrackSpool
from maskprop_d2.evaluation.tracks import MAX_TRACKS, Track, Video
from maskprop_d2.ops.rle import encode

HEIGHT, WIDTH, LENGTH = 120, 160, 5


def test_tracks_come_back_by_video_in_the_order_in_which_they_were_added():
    videos = [Video(i, HEIGHT, WIDTH, 1) for i in (1, 2, 3)]
    added = [(videos[k], Track(1, [bytes([n])], np.ones(1), 1.0)) for n, k in enumerate([2, 0, 2])]
    with TrackSpool() as spool:
        for video, track in added:
            spool.add(video, track)
        found = {x.id: [y.counts for y in x.predictions] for x in spool.read(videos)}
    assert found == {1: [[b"\1"]], 2: [], 3: [[b"\0"], [b"\2"]]}
    assert not any(x.predictions for x in videos)


def test_of_very_many_predictions_those_are_kept_that_count():
    video = Video(1, HEIGHT, WIDTH, 1)
    with TrackSpool() as spool:
        for n in range(TRIM_EVERY + 5):
            spool.add(video, Track(1, [None], np.zeros(1), 0.0, score=n % 7))
        (found,) = spool.read([video])
    assert len(found.predictions) == MAX_TRACKS + 5
    assert all(x.score == 6 for x in found.predictions[:MAX_TRACKS])


def noisy_results(count):
    """Predictions whose masks take 50 kB each, in turn of all videos."""
    rng = np.random.default_rng(0)
    masks = [encode(rng.random((HEIGHT, WIDTH)) < 0.5) for _ in range(4)]
    for i in range(count):
        track = [dict(masks[(i + t) % 4]) for t in range(LENGTH)]
        ids = {"video_id": 1 + i % 50, "category_id": 1 + i % 2}
        yield {**ids, "score": i / count, "segmentations": track}


@pytest.mark.parametrize("hota", [False, True])
def test_memory_does_not_grow_with_the_predictions(hota):
    files = ["x"] * LENGTH
    shape = {"height": HEIGHT, "width": WIDTH, "file_names": files}
    truth = {
        "videos": [{"id": i + 1, **shape} for i in range(50)],
        "categories": [{"id": i, "name": f"c{i}"} for i in (1, 2)],
        "annotations": [],
    }
    size = sum(len(m["counts"]) for x in noisy_results(500) for m in x["segmentations"])
    tracemalloc.start()
    try:
        evaluate(truth, noisy_results(500), hota=hota)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.3 * size
