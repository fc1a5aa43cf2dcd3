import pytest
import torch

from maskprop_d2.structures import ClipTracks
from maskprop_d2.tracking import Linking, build_tracker
from maskprop_d2.tracking.assignment import IdAssigner, assign_best_first
from maskprop_d2.tracking.linking import ClipLinker, match_clips


def bars(*columns, width=20):
    """(N, 2, width) masks: a bar of four columns at each of the given places."""
    masks = torch.zeros(len(columns), 2, width)
    for mask, column in zip(masks, columns, strict=True):
        mask[:, column : column + 4] = 1
    return masks


def clip(center, start, *frames):
    masks = torch.stack(frames)
    return ClipTracks(center, start, masks, torch.zeros(masks.shape[1], 3))


def maskprop(clip_radius, match="all", categories=False):
    return ClipLinker(Linking(clip_radius, 0.1, exclusive=True, match=match, categories=categories))


def run(linker, clips):
    return [linker.link(c) for c in clips]


def test_match_clips_is_the_mean_over_shared_frames():
    a = clip(1, 0, bars(0), bars(0), bars(0))
    b = clip(2, 1, bars(0), bars(2), bars(9))
    # Shared are frames 1 and 2: IoU 1, and 2 of 6 columns.
    torch.testing.assert_close(match_clips(a, b), torch.tensor([[(1 + 1 / 3) / 2]]))


def test_near_clips_are_compared_over_the_frames_between_their_centers():
    a = clip(1, 0, bars(0), bars(0), bars(0), bars(0))
    b = clip(2, 0, bars(9), bars(0), bars(2), bars(9))
    torch.testing.assert_close(match_clips(a, b, near=True), torch.tensor([[(1 + 1 / 3) / 2]]))
    torch.testing.assert_close(match_clips(b, a, near=True), torch.tensor([[(1 + 1 / 3) / 2]]))


def test_masks_propagated_far_do_not_mislead_near_matching():
    """Two objects change places; two frames away from its centre each clip mixes them up."""
    places = [(0, 10), (10, 0), (0, 10), (10, 0), (0, 10)]

    def around(t):
        frames = range(max(t - 2, 0), min(t + 3, 5))
        masks = [bars(*places[s]) for s in frames]
        return clip(
            t,
            frames[0],
            *[m.flip(0) if abs(s - t) == 2 else m for s, m in zip(frames, masks, strict=True)],
        )

    clips = [around(t) for t in range(5)]
    assert run(maskprop(2, "near"), clips) == [[0, 1]] * 5
    assert run(maskprop(2, "all"), clips) != [[0, 1]] * 5


@pytest.mark.parametrize("match", ["all", "near"])
def test_maskprop_follows_objects_that_do_not_overlap_from_frame_to_frame(match):
    """Two objects change places; their clips' propagated masks say so, the order does not."""
    frame = [bars(0, 10), bars(10, 0), bars(0, 10)]
    swapped = [x.flip(0) for x in frame]
    clips = [
        clip(0, 0, frame[0], frame[1]),
        # Detected in the opposite order.
        clip(1, 0, swapped[0], swapped[1], swapped[2]),
        clip(2, 1, frame[1], frame[2]),
    ]
    linker = maskprop(1, match)
    assert run(linker, clips) == [[0, 1], [1, 0], [0, 1]]


def test_a_missed_object_gets_its_id_back_within_the_window_only():
    def alone(t, *columns):
        frames = range(max(t - 2, 0), t + 3)
        return clip(t, frames[0], *[bars(*columns) for _ in frames])

    seen = [alone(0, 0), alone(1), alone(2), alone(3), alone(4, 0)]
    assert run(maskprop(2), seen)[-1] == [0]
    seen = [alone(0, 0), *(alone(t) for t in range(1, 5)), alone(5, 0)]
    assert run(maskprop(2), seen)[-1] == [1]


def test_equation_5_averages_over_all_clips_with_an_id():
    linker = maskprop(2)
    linker.link(clip(0, 0, bars(0), bars(0), bars(0)))
    linker.link(clip(1, 0, bars(0), bars(2), bars(2), bars(2)))
    new = clip(2, 0, *[bars(0)] * 5)
    scores, ids = linker._id_scores(new)
    assert ids == [0]
    torch.testing.assert_close(scores, torch.tensor([[(1 + (1 + 3 / 3) / 4) / 2]]))


def test_near_clips_count_more():
    linker = maskprop(2, "near")
    linker.link(clip(0, 0, bars(0), bars(0), bars(0)))
    linker.link(clip(1, 0, bars(0), bars(2), bars(2), bars(2)))
    scores, _ = linker._id_scores(clip(2, 0, *[bars(0)] * 5))
    # The clip two frames back matches in 0 .. 2, the one before (counting 4 times) by a third.
    torch.testing.assert_close(scores, torch.tensor([[(1 / 4 * 1 + 1 * 1 / 3) / (1 / 4 + 1)]]))


def test_categories_tell_objects_apart_whose_masks_do_not():
    """Two objects of different categories in one place; the next frame has them in turn."""
    cat, dog = torch.tensor([0.9, 0.0, 0.1]), torch.tensor([0.1, 0.7, 0.2])

    def both(t, *class_scores):
        return ClipTracks(t, 0, torch.stack([bars(0, 0)] * 3), torch.stack(class_scores))

    clips = [both(0, cat, dog), both(1, dog, cat)]
    assert run(maskprop(2, categories=True), clips) == [[0, 1], [1, 0]]
    assert run(maskprop(2), clips) == [[0, 1], [0, 1]]
    # The score of Eq. 5, here 1, times a cosine; background is no category.
    linker = maskprop(2, categories=True)
    linker.link(clips[0])
    scores, _ = linker._id_scores(clips[1])
    other = 0.09 / (0.9 * 0.5**0.5)
    torch.testing.assert_close(scores, torch.tensor([[other, 1.0], [1.0, other]]))


def test_exclusive_assignment_maximises_the_sum_and_respects_the_threshold():
    scores = torch.tensor([[0.9, 0.8], [0.85, 0.1]])
    assert IdAssigner(0.2, exclusive=True).assign(scores, [7, 8]) == [8, 7]
    assert IdAssigner(0.2, exclusive=False).assign(scores, [7, 8]) == [7, 7]
    # 0.1 does not match, so that it must not take 8 away from the first row.
    scores = torch.tensor([[0.3, 0.9], [0.0, 0.1]])
    assert IdAssigner(0.2, exclusive=True).assign(scores, [7, 8]) == [8, 0]


def test_best_first_gives_a_column_to_the_surer_row_and_the_other_row_its_next_best():
    scores = torch.tensor([[0.7, 0.2, 0.6], [0.9, 0.8, 0.1], [0.1, 0.1, 0.1]])
    assert assign_best_first(scores, torch.tensor([0.3, 0.3, 0.3])) == [2, 0, None]
    # Its next best is worse than none.
    assert assign_best_first(scores, torch.tensor([0.65, 0.3, 0.0])) == [None, 0, 1]
    assert assign_best_first(torch.zeros(0, 2), torch.zeros(0)) == []
    assert assign_best_first(torch.zeros(2, 0), torch.zeros(2)) == [None, None]


@pytest.mark.parametrize("exclusive", [True, False])
def test_frames_without_detections_or_ids(exclusive):
    assigner = IdAssigner(0.1, exclusive)
    assert assigner.assign(torch.zeros(0, 2), [0, 1]) == []
    assert assigner.assign(torch.zeros(2, 0), []) == [0, 1]


def test_unknown_method_and_clips_that_do_not_overlap_are_refused():
    with pytest.raises(ValueError, match="unknown tracking method 'sort'"):
        build_tracker("sort", clip_radius=1, threshold=0.1, exclusive=True)
    with pytest.raises(ValueError, match="CLIP_RADIUS is 0"):
        build_tracker("maskprop", clip_radius=0, threshold=0.1, exclusive=True)(None)
    with pytest.raises(ValueError, match="must be 'all' or 'near'"):
        maskprop(1, "far")
