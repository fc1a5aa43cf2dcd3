import itertools

import numpy as np
import pytest
import torch
from scenes import Object, Scene, pieces, track

from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.seqtracker import best_paths


def by_brute_force(scores, links):
    """The best path of all that there are, and again, without its nodes."""
    free = {(t, i) for t, x in enumerate(scores) for i in range(len(x))}
    ids = [np.full(len(x), -1) for x in scores]
    for path in itertools.count():
        if not free:
            return ids
        best, best_value = None, -np.inf
        for start in range(len(scores)):
            for end in range(start, len(scores)):
                for nodes in itertools.product(
                    *(range(len(scores[t])) for t in range(start, end + 1))
                ):
                    steps = list(zip(range(start, end + 1), nodes, strict=True))
                    if not set(steps) <= free:
                        continue
                    value = sum(scores[t][i] for t, i in steps)
                    value += sum(links[t][i, j] for (_, i), (t, j) in itertools.pairwise(steps))
                    if value > best_value:
                        best, best_value = steps, value
        for t, i in best:
            ids[t][i] = path
        free -= set(best)


@pytest.mark.parametrize("seed", range(12))
def test_paths_are_those_of_a_search_through_all(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 4, 5)
    scores = [rng.random(n) for n in sizes]
    links = [rng.random((m, n)) for m, n in zip([sizes[0], *sizes[:-1]], sizes, strict=True)]
    links = [np.where(rng.random(x.shape) < 0.4, -np.inf, x) for x in links]
    found = best_paths(scores, links)
    for a, b in zip(found, by_brute_force(scores, links), strict=True):
        assert a.tolist() == b.tolist()


def test_no_frame_and_no_node():
    assert best_paths([], []) == []
    assert [x.tolist() for x in best_paths([np.zeros(0)] * 2, [np.zeros((0, 0))] * 2)] == [[], []]


def test_it_sees_the_whole_video_before_it_decides():
    """A false detection overlaps more with what was, but leads to nothing that comes."""
    real = [(4 + 12 * t, 30) for t in range(8)]
    false = [(34, 30)] * 8
    missed = [("false", t) for t in range(8) if t != 4]
    scene = Scene({"real": Object(real), "false": Object(false)}, missed)
    found = track("seqtracker", scene)
    assert pieces(found["real"]) == [0] and pieces(found["false"]) == [1]
    assert pieces(track("iou", scene)["real"]) != [0]


def test_all_frames_come_at_the_end_and_only_then():
    scene = Scene({"a": Object([(4 + 3 * t, 4) for t in range(10)])})
    given = []

    def images():
        for image in scene.images():
            given.append(image)
            yield image

    make = build_tracker("seqtracker", clip_radius=1, threshold=0.1, exclusive=True)
    stream = VideoSegmenter(scene, make_tracker=make, final_mask="fill").stream(images())
    assert next(stream).track_ids == [0]
    assert len(given) == 10
    assert [x.index for x in stream] == list(range(1, 10))
    assert stream.tracks().track_ids == [0]


def test_its_own_memory_is_a_small_table_a_frame():
    scene = Scene({name: Object([(20 * i, 4)] * 5) for i, name in enumerate("abc")})
    make = build_tracker("seqtracker", clip_radius=1, threshold=0.1, exclusive=True)
    stream = VideoSegmenter(scene, make_tracker=make).stream(scene.images())
    next(stream)
    tracker = stream.tracker
    assert [x.shape for x in tracker._links] == [(3, 3)] * 5
    kept = vars(tracker).values()
    assert not any(torch.is_tensor(x) for x in kept)
    # What waits for its ids has no feature maps.
    assert all(not hasattr(x, "maps") and not hasattr(x, "output") for x in stream._window)
