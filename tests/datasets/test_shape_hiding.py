"""Medium and hidden videos of MovingShapes: speed, hiding, look-alikes, and the commands."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest
from make_moving_shapes import main
from moving_shapes import draw_video
from shape_hiding import HIDDEN_FRAMES, WELL_SEEN_FRAMES, draw_hiding_objects
from shape_scene import Scene

LENGTHS = {"medium": 24, "hidden": 40}
VIDEOS = 12


@pytest.fixture(scope="module", params=LENGTHS)
def level(request):
    return request.param


@pytest.fixture(scope="module")
def videos(level):
    """Frames and tracks of some videos of the level."""
    rngs = [np.random.default_rng([1, seed]) for seed in range(VIDEOS)]
    return [draw_video(rng, 64, 96, LENGTHS[level], level) for rng in rngs]


def test_speed_is_between_plain_and_hard(videos):
    ious = [
        (a & b).sum() / (a | b).sum()
        for _, tracks in videos
        for _, masks in tracks
        for a, b in pairwise(masks)
        if a is not None and b is not None
    ]
    assert 0.4 < np.mean(ious) < 0.5


def test_an_object_of_every_video_hides_and_comes_back(videos, level):
    low, high = HIDDEN_FRAMES[level]
    longest = []
    for _, tracks in videos:
        longest.append(0)
        for _, masks in tracks:
            areas = np.array([0 if mask is None else mask.sum() for mask in masks])
            for last, back in pairwise(np.flatnonzero(areas)):
                longest[-1] = max(longest[-1], back - last - 1)
                if level == "hidden" and back - last > low:
                    for part in areas[: last + 1], areas[back:]:
                        assert (part >= areas.max() / 2).sum() >= WELL_SEEN_FRAMES
    assert low <= min(longest) and max(longest) <= high
    assert len(set(longest)) > 4


def test_objects_hide_behind_occluders_and_outside_the_frame(level):
    """In the middle of its pause, an object cannot be seen; without occluders, some can."""
    behind = outside = 0
    for seed in range(VIDEOS):
        rng = np.random.default_rng(seed)
        colors = rng.uniform(0, 255, (2, 3))
        objects, _, occluders = draw_hiding_objects(rng, 64, 96, LENGTHS[level], level, colors)
        for shape in objects:
            start, duration = shape.pause
            if duration:
                shift = (0, np.zeros(2))
                scenes = [
                    Scene((64, 96), None, np.zeros(2), shift, [shape, *front])
                    for front in (occluders, [])
                ]
                hidden, alone = (x.visible_masks(start + duration / 2, 1)[0] for x in scenes)
                assert hidden is None
                behind += alone is not None
                outside += alone is None
    assert behind > 3 and outside > 3


def test_only_medium_videos_have_look_alikes(videos, level):
    """Two objects of a category have the same colours in a medium video."""
    alike = []
    for frames, tracks in videos:
        looks = []
        for category, masks in tracks:
            t = int(np.argmax([0 if m is None else m.sum() for m in masks]))
            pixels = frames[t][masks[t]] if masks[t] is not None else np.zeros((1, 3))
            looks.append((category, pixels.mean(0)))
        pairs = combinations(looks, 2)
        alike.append(any(a == b and np.abs(x - y).max() < 15 for (a, x), (b, y) in pairs))
    assert np.mean(alike) > 0.9 if level == "medium" else np.mean(alike) < 0.1


def test_the_command(tmp_path, level):
    sizes = {"height": 32, "width": 48} | ({"length": 17} if level == "medium" else {})
    options = ["--train=1", "--val=0", "--seed=3", *(f"--{k}={v}" for k, v in sizes.items())]
    made = []
    for name in ("one", "two"):
        main([f"--output={tmp_path / name}", f"--{level}", *options])
        paths = sorted(x for x in (tmp_path / name).rglob("*") if x.is_file())
        made.append([x.read_bytes() for x in paths])
    assert made[0] == made[1]
    data = json.loads((tmp_path / "one/train.json").read_text())
    assert data["info"]["level"] == level and data["info"]["version"] == 3
    assert data["videos"][0]["length"] == sizes.get("length", 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--medium", "--length=16"], "--length must be at least 17, not 16"),
        (["--hidden", "--length=26"], "--length must be at least 27, not 26"),
        (["--medium", "--hard"], "not allowed with argument --medium"),
    ],
)
def test_what_cannot_be_drawn(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stop:
        numbers = ["--train=1", "--val=0", "--seed=1", "--height=32", "--width=48"]
        main([f"--output={tmp_path / 'set'}", *numbers, *options])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("error: ")
    assert list(tmp_path.iterdir()) == []
