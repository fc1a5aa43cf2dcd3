"""The paths of SeqTracker, and what it keeps until the end of the video."""

import itertools

import numpy as np
import pytest
import torch
from scenes import Object, Scene, id_runs, track

from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.tracking.seqtracker import SeqTracker, best_paths


def brute_force_paths(scores, links):
    """The best of all paths, then the best without its nodes, and so on."""
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
def test_paths_equal_an_exhaustive_search(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 4, 5)
    scores = [rng.random(n) for n in sizes]
    links = [rng.random((m, n)) for m, n in zip([sizes[0], *sizes[:-1]], sizes, strict=True)]
    links = [np.where(rng.random(x.shape) < 0.4, -np.inf, x) for x in links]
    found = best_paths(scores, links)
    for a, b in zip(found, brute_force_paths(scores, links), strict=True):
        assert a.tolist() == b.tolist()


def test_no_frame_and_no_node():
    assert best_paths([], []) == []
    assert [x.tolist() for x in best_paths([np.zeros(0)] * 2, [np.zeros((0, 0))] * 2)] == [[], []]


def test_the_whole_video_decides():
    """A false detection overlaps more with the previous frame, but with no later one."""
    real = [(4 + 12 * t, 30) for t in range(8)]
    false = [(34, 30)] * 8
    missed = [("false", t) for t in range(8) if t != 4]
    scene = Scene({"real": Object(real), "false": Object(false)}, missed)
    found = track("seqtracker", scene)
    assert id_runs(found["real"]) == [0] and id_runs(found["false"]) == [1]
    assert id_runs(track("iou", scene)["real"]) != [0]


def test_all_frames_come_at_the_end():
    scene = Scene({"a": Object([(4 + 3 * t, 4) for t in range(10)])})
    read = []

    def images():
        for image in scene.images():
            read.append(image)
            yield image

    stream = VideoSegmenter(scene, make_tracker=SeqTracker, final_mask="fill").stream(images())
    assert next(stream).track_ids == [0]
    assert len(read) == 10
    assert [x.index for x in stream] == list(range(1, 10))
    assert stream.tracks().track_ids == [0]


def test_the_memory_per_frame_is_small():
    scene = Scene({name: Object([(20 * i, 4)] * 5) for i, name in enumerate("abc")})
    stream = VideoSegmenter(scene, make_tracker=SeqTracker).stream(scene.images())
    next(stream)
    assert [x.shape for x in stream.tracker._links] == [(3, 3)] * 5
    assert not any(torch.is_tensor(x) for x in vars(stream.tracker).values())
    # Waiting frames hold no feature maps.
    assert all(not hasattr(x, "maps") and not hasattr(x, "output") for x in stream._pending)
