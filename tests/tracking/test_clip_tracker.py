"""Clips around each frame, and the linking of overlapping clips (Eq. 4 and 5 of the paper)."""

import pytest
import torch
from scenes import HEIGHT, STRIDE, WIDTH, Object, Scene

from maskprop_d2.errors import InputError
from maskprop_d2.structures import ClipTracks
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.clip_tracker import ClipTracker
from maskprop_d2.tracking.matching import match_clips

GRID = HEIGHT // STRIDE, WIDTH // STRIDE


class RecordingTracker(ClipTracker):
    """Propagates to masks that are 0.1 * frame index, and records its calls."""

    def __init__(self, **options):
        super().__init__(None, **options)
        self.calls = []

    def propagate(self, source, targets):
        self.calls.append((source.index, [x.index for x in targets]))
        return torch.stack(
            [torch.full((len(source.output), *GRID), 0.1 * x.index) for x in targets]
        )


def run(length, radius, missed=()):
    """The frames that come out after each frame and at the end, and the calls of ``propagate``."""
    scene = Scene({"a": Object([(4, 4)] * length)}, [("a", t) for t in missed])
    tracker = RecordingTracker(clip_radius=radius)
    steps = [tracker.add(frame) for frame in scene.frames()]
    return [*steps, tracker.finish()], tracker.calls


def test_a_clip_covers_t_frames_on_each_side_and_comes_t_frames_later():
    steps, calls = run(7, 2)
    assert [[x.index for x in step] for step in steps] == [[], [], [0], [1], [2], [3], [4], [5, 6]]
    for frame in (x for step in steps for x in step):
        t, clip = frame.index, frame.clip
        assert list(clip.frames) == [s for s in range(t - 2, t + 3) if 0 <= s < 7]
        assert calls[t] == (t, [s for s in clip.frames if s != t])
        assert clip.center == t and clip.masks.shape == (len(clip.frames), 1, *GRID)
        for s, mask in zip(clip.frames, clip.masks, strict=True):
            # In the centre the detection itself: a square of 7 x 7 cells.
            assert mask.sum().item() == 49 if s == t else torch.all(mask == 0.1 * s)


def test_a_video_shorter_than_a_clip_and_frames_without_detections():
    steps, calls = run(3, 6, missed=[1])
    assert [len(step) for step in steps] == [0, 0, 0, 3]
    assert [len(x.ids) for x in steps[-1]] == [1, 0, 1]
    assert calls == [(0, [1, 2]), (2, [0, 1])]
    assert steps[-1][1].clip.masks.shape == (3, 0, *GRID)


def bars(*columns, width=20):
    """(N, 2, width) masks: bars of four columns from the given ones on."""
    masks = torch.zeros(len(columns), 2, width)
    for mask, column in zip(masks, columns, strict=True):
        mask[:, column : column + 4] = 1
    return masks


def clip(center, start, *frames):
    masks = torch.stack(frames)
    return ClipTracks(center, start, masks, torch.zeros(masks.shape[1], 3))


def maskprop(clip_radius, match="all", categories=0.0):
    options = {"clip_radius": clip_radius, "match": match, "categories": categories}
    return build_tracker("maskprop", None, threshold=0.1, **options)


def link_all(tracker, clips):
    return [tracker.link(c) for c in clips]


def test_match_clips_is_the_mean_over_shared_frames():
    a = clip(1, 0, bars(0), bars(0), bars(0))
    b = clip(2, 1, bars(0), bars(2), bars(9))
    # Frames 1 and 2 are shared: IoU 1, and 2 of 6 columns.
    torch.testing.assert_close(match_clips(a, b), torch.tensor([[(1 + 1 / 3) / 2]]))


def test_near_clips_are_compared_over_the_frames_between_their_centers():
    a = clip(1, 0, bars(0), bars(0), bars(0), bars(0))
    b = clip(2, 0, bars(9), bars(0), bars(2), bars(9))
    torch.testing.assert_close(match_clips(a, b, near=True), torch.tensor([[(1 + 1 / 3) / 2]]))
    torch.testing.assert_close(match_clips(b, a, near=True), torch.tensor([[(1 + 1 / 3) / 2]]))


def test_near_matching_is_robust_to_wrong_masks_far_from_the_center():
    """Two objects swap places; two frames away from its centre each clip confuses them."""
    places = [(0, 10), (10, 0), (0, 10), (10, 0), (0, 10)]

    def around(t):
        frames = range(max(t - 2, 0), min(t + 3, 5))
        masks = [bars(*places[s]) for s in frames]
        masks = [m.flip(0) if abs(s - t) == 2 else m for s, m in zip(frames, masks, strict=True)]
        return clip(t, frames[0], *masks)

    clips = [around(t) for t in range(5)]
    assert link_all(maskprop(2, "near"), clips) == [[0, 1]] * 5
    assert link_all(maskprop(2, "all"), clips) != [[0, 1]] * 5


@pytest.mark.parametrize("match", ["all", "near"])
def test_objects_without_overlap_between_frames_are_linked_by_propagated_masks(match):
    frames = [bars(0, 10), bars(10, 0), bars(0, 10)]
    flipped = [x.flip(0) for x in frames]
    clips = [
        clip(0, 0, *frames[:2]),
        # Detected in the opposite order.
        clip(1, 0, *flipped),
        clip(2, 1, *frames[1:]),
    ]
    assert link_all(maskprop(1, match), clips) == [[0, 1], [1, 0], [0, 1]]


def test_a_missed_object_keeps_its_id_for_2t_frames():
    def still(t, *columns):
        frames = range(max(t - 2, 0), t + 3)
        return clip(t, frames[0], *[bars(*columns) for _ in frames])

    clips = [still(0, 0), still(1), still(2), still(3), still(4, 0)]
    assert link_all(maskprop(2), clips)[-1] == [0]
    clips = [still(0, 0), *(still(t) for t in range(1, 5)), still(5, 0)]
    assert link_all(maskprop(2), clips)[-1] == [1]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        # The mean over the two earlier clips: 1, and 1 in one of four frames, 1/3 in the others.
        ("all", (1 + (1 + 3 / 3) / 4) / 2),
        # The clip two frames back matches by 1 in 0 .. 2; the last one, by 1/3, counts 4 times.
        ("near", (1 / 4 * 1 + 1 * 1 / 3) / (1 / 4 + 1)),
    ],
)
def test_equation_5_averages_over_the_clips_of_an_id(match, expected):
    tracker = maskprop(2, match)
    tracker.link(clip(0, 0, bars(0), bars(0), bars(0)))
    tracker.link(clip(1, 0, bars(0), bars(2), bars(2), bars(2)))
    scores, ids = tracker._id_scores(clip(2, 0, *[bars(0)] * 5))
    assert ids == [0]
    torch.testing.assert_close(scores, torch.tensor([[expected]]))


def test_categories_separate_objects_with_equal_masks():
    """Two objects of different categories in one place, detected in changing order."""
    cat, dog = torch.tensor([0.9, 0.0, 0.1]), torch.tensor([0.1, 0.7, 0.2])

    def both(t, *class_scores):
        return ClipTracks(t, 0, torch.stack([bars(0, 0)] * 3), torch.stack(class_scores))

    clips = [both(0, cat, dog), both(1, dog, cat)]
    assert link_all(maskprop(2), clips) == [[0, 1], [0, 1]]
    agreement = 0.09 / (0.9 * 0.5**0.5)
    for weight in (0.1, 0.5, 1.0):
        assert link_all(maskprop(2, categories=weight), clips) == [[0, 1], [1, 0]]
        # The score of Eq. 5, here 1, times 1 - w + w * agreement: the cosine of the class scores
        # without the background.
        tracker = maskprop(2, categories=weight)
        tracker.link(clips[0])
        scores, _ = tracker._id_scores(clips[1])
        other = 1 - weight + weight * agreement
        torch.testing.assert_close(scores, torch.tensor([[other, 1.0], [1.0, other]]))


@pytest.mark.parametrize(("weight", "ids"), [(1.0, [[0], [1], [0]]), (0.5, [[0], [0], [0]])])
def test_an_object_whose_category_changes_keeps_its_id_unless_the_weight_is_1(weight, ids):
    cat, dog = torch.tensor([[0.9, 0.0, 0.1]]), torch.tensor([[0.0, 0.9, 0.1]])
    masks = torch.stack([bars(0)] * 3)
    clips = [ClipTracks(t, 0, masks, scores) for t, scores in enumerate([cat, dog, cat])]
    assert link_all(maskprop(2, categories=weight), clips) == ids


@pytest.mark.parametrize("weight", [-0.1, 1.5])
def test_weight_of_categories_is_refused(weight):
    with pytest.raises(InputError, match=f"categories is a weight from 0 to 1, not {weight}"):
        maskprop(2, categories=weight)
