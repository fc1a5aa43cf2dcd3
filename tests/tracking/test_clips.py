import torch
from scenes import HEIGHT, STRIDE, WIDTH, Object, Scene

from maskprop_d2.structures import Frame
from maskprop_d2.tracking import Linking
from maskprop_d2.tracking.clips import ClipTracker

SIZE = HEIGHT // STRIDE, WIDTH // STRIDE


def run(length, radius, missed=()):
    """What comes out after each frame, and what the propagation was asked."""
    asked = []

    def propagate(source, targets):
        asked.append((source.index, [x.index for x in targets]))
        masks = [torch.full((len(source.output), *SIZE), 0.1 * x.index) for x in targets]
        return torch.stack(masks)

    scene = Scene({"a": Object([(4, 4)] * length)}, [("a", t) for t in missed])
    tracker = ClipTracker(propagate, Linking(radius, 0.1, True, "near", False))
    images = torch.zeros(length, 3, 1, 1, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(length)
    outputs = scene.detect(images)
    given = [tracker.add(Frame(t, None, x)) for t, x in enumerate(outputs)]
    return [*given, tracker.finish()], asked


def test_a_clip_covers_t_frames_on_each_side_and_comes_t_frames_late():
    given, asked = run(7, 2)
    assert [[x.index for x in step] for step in given] == [[], [], [0], [1], [2], [3], [4], [5, 6]]
    for frame in (x for step in given for x in step):
        t, clip = frame.index, frame.clip
        assert list(clip.frames) == [s for s in range(t - 2, t + 3) if 0 <= s < 7]
        assert asked[t] == (t, [s for s in clip.frames if s != t])
        assert clip.center == t and clip.masks.shape == (len(clip.frames), 1, *SIZE)
        for s, mask in zip(clip.frames, clip.masks, strict=True):
            # The detection itself in the middle: a square of 7 x 7 cells.
            assert mask.sum().item() == 49 if s == t else torch.all(mask == 0.1 * s)


def test_a_video_shorter_than_its_clips_and_frames_without_detections():
    given, asked = run(3, 6, missed=[1])
    assert [len(step) for step in given] == [0, 0, 0, 3]
    assert [len(x.ids) for x in given[-1]] == [1, 0, 1]
    assert asked == [(0, [1, 2]), (2, [0, 1])]
    assert given[-1][1].clip.masks.shape == (3, 0, *SIZE)
