"""Properties of linking in any video: the order of detections and the direction of time do not
matter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import make_tracker

from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import TRACKERS

HEIGHT, WIDTH, STRIDE, SIDE = 48, 64, 4, 20
GRID = HEIGHT // STRIDE, WIDTH // STRIDE
RNG = np.random.default_rng


class RandomVideo:
    """Objects at random places with noise as masks, so that no two matches are equal. Both kinds
    of propagation shift masks and multiply noise."""

    def __init__(self, seed, counts):
        """``counts``: the number of detections in each frame."""
        self.seed = seed
        self.frames = [self._draw(t, count) for t, count in enumerate(counts)]

    def _draw(self, t, count):
        rng = RNG([self.seed, t])
        corners = np.stack([rng.uniform(0, side - SIDE, count) for side in (WIDTH, HEIGHT)], axis=1)
        boxes = np.concatenate([corners, corners + rng.uniform(SIDE / 2, SIDE, (count, 2))], axis=1)
        masks = torch.zeros(count, *GRID)
        for mask, (x0, y0, x1, y1) in zip(masks, (boxes / STRIDE).round().astype(int), strict=True):
            mask[y0:y1, x0:x1] = torch.from_numpy(rng.uniform(0.3, 1, (y1 - y0, x1 - x0)))
        class_scores = torch.from_numpy(rng.dirichlet(np.ones(3), count)).float()
        output = FrameOutput(
            boxes_video=torch.from_numpy(boxes).float(),
            scores=torch.from_numpy(rng.uniform(0.3, 1, count)).float(),
            class_scores=class_scores,
            box_masks=torch.ones(count, 4, 4),
            grid_masks=masks,
            grid_box_video=torch.tensor([0.0, 0.0, WIDTH, HEIGHT]),
            maps={"t": t},
            embeddings=torch.from_numpy(rng.normal(size=(count, 4))).float(),
            crop_scores=torch.from_numpy(rng.dirichlet(np.ones(2), count)).float(),
        )
        return Frame(t, rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), output)

    def moved(self, masks, t, s):
        noise = torch.from_numpy(RNG([self.seed, t, s]).uniform(0.5, 1, GRID)).float()
        return masks.roll(s - t, dims=2) * noise

    def propagate(self, source, targets):
        t = source.maps["t"]
        return torch.stack([self.moved(source.grid_masks, t, x.maps["t"]) for x in targets])

    def mask_propagator(self, method):
        return self.Propagator(self)

    class Propagator:
        def __init__(self, video):
            self.video = video

        def templates(self, masks, maps):
            return list(masks)

        def propagate(self, masks, source, target, templates):
            return self.video.moved(masks, source["t"], target["t"])


def tracks(video, frames, method, **options):
    """The detections of each track, as (frame, position)."""
    tracker = make_tracker(method, video, threshold=0.1, **options)
    tracked = [x for frame in frames for x in tracker.add(frame)] + tracker.finish()
    assert [x.index for x in tracked] == [x.index for x in frames]
    members = {}
    for frame in tracked:
        for position, track_id in enumerate(frame.ids):
            members.setdefault(track_id, set()).add((frame.index, position))
    return {frozenset(x) for x in members.values()}


def permuted(frame, order):
    per_detection = ["boxes_video", "scores", "class_scores", "box_masks", "grid_masks"]
    per_detection += ["embeddings", "crop_scores"]
    changes = {name: getattr(frame.output, name)[order] for name in per_detection}
    return replace(frame, output=replace(frame.output, **changes))


seeds = st.integers(0, 2**32)
counts = st.lists(st.integers(0, 4), min_size=1, max_size=7)
all_options = st.fixed_dictionaries(
    {
        "clip_radius": st.integers(1, 3),
        "match": st.sampled_from(["near", "all"]),
        "exclusive": st.booleans(),
    }
)


@pytest.mark.parametrize("method", TRACKERS)
@settings(max_examples=25)
@given(data=st.data(), seed=seeds, counts=counts, options=all_options)
def test_permuted_detections_give_the_same_tracks(method, data, seed, counts, options):
    video = RandomVideo(seed, counts)
    orders = [data.draw(st.permutations(range(count))) for count in counts]
    frames = [permuted(x, order) for x, order in zip(video.frames, orders, strict=True)]
    found = tracks(video, frames, method, **options)
    found = {frozenset((t, orders[t][position]) for t, position in track) for track in found}
    assert found == tracks(video, video.frames, method, **options)


def backwards(frames):
    return [replace(x, index=t) for t, x in enumerate(reversed(frames))]


def reversed_in_time(tracks, length):
    return {frozenset((length - 1 - t, position) for t, position in x) for x in tracks}


@pytest.mark.parametrize("method", ["iou", "seqtracker"])
@given(seed=seeds, counts=counts)
def test_methods_that_link_neighbouring_frames_give_the_same_tracks_backwards(method, seed, counts):
    video = RandomVideo(seed, counts)
    found = tracks(video, backwards(video.frames), method)
    assert reversed_in_time(found, len(counts)) == tracks(video, video.frames, method)


class SymmetricVideo:
    """Objects in rows of their own, at another place in each frame. Propagation is perfect, but
    fades with the distance, equally in both directions."""

    def __init__(self, places, seen):
        """By object and frame: ``places``, the left columns; ``seen``, whether it is detected."""
        self.places, self.seen = places, seen
        self.frames = [self._draw(t) for t in range(len(seen[0]))]

    def masks(self, t, objects):
        masks = torch.zeros(len(objects), 2 * len(self.places), 9)
        for mask, i in zip(masks, objects, strict=True):
            mask[2 * i : 2 * i + 2, self.places[i][t] : self.places[i][t] + 3] = 1
        return masks

    def _draw(self, t):
        objects = [i for i, seen in enumerate(self.seen) if seen[t]]
        masks, zeros = self.masks(t, objects), torch.zeros(len(objects), 4)
        scores, class_scores = torch.ones(len(objects)), torch.ones(len(objects), 2)
        maps = {"t": t, "objects": objects}
        output = FrameOutput(zeros, scores, class_scores, masks, masks, zeros[:0], maps)
        return Frame(t, np.zeros((1, 1, 3), np.uint8), output)

    def propagate(self, source, targets):
        t, objects = source.maps["t"], source.maps["objects"]
        times = [x.maps["t"] for x in targets]
        return torch.stack([self.masks(s, objects) * 0.8 ** abs(s - t) for s in times])


@given(data=st.data(), options=all_options, length=st.integers(1, 12), objects=st.integers(1, 3))
def test_maskprop_links_symmetric_videos_the_same_backwards(data, options, length, objects):
    """An object is one track, which ends only where it is missed for longer than two clips."""

    def each(values):
        frames = st.lists(values, min_size=length, max_size=length)
        return data.draw(st.lists(frames, min_size=objects, max_size=objects))

    seen = each(st.booleans())
    video = SymmetricVideo(each(st.integers(0, 6)), seen)
    expected = set()
    for i in range(objects):
        track = []
        for t in (t for t in range(length) if seen[i][t]):
            if track and t - track[-1][0] > 2 * options["clip_radius"]:
                expected.add(frozenset(track))
                track = []
            track.append((t, sum(x[t] for x in seen[:i])))
        expected |= {frozenset(track)} if track else set()
    assert tracks(video, video.frames, "maskprop", **options) == expected
    found = tracks(video, backwards(video.frames), "maskprop", **options)
    assert reversed_in_time(found, length) == expected
