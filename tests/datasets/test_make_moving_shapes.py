"""MovingShapes: layout, annotations, and reproducibility."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_moving_shapes import main
from moving_shapes import draw_video
from pycocotools import mask as coco_mask
from shape_scene import MIN_VISIBLE_PIXELS

from maskprop_d2.ytvis.categories import MOVING_SHAPES

SIZE = {"height": 64, "width": 96, "length": 6}


def make(output: Path, *more: str, train: int = 3, val: int = 1, seed: int = 5) -> Path:
    numbers = {"train": train, "val": val, "seed": seed, **SIZE}
    main(["--output", str(output), *(f"--{k}={v}" for k, v in numbers.items()), *more])
    return output


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


def decoded(rle: dict) -> np.ndarray:
    return coco_mask.decode(rle).astype(bool)


def drawn(seed: int, level: str, length: int = 12):
    return draw_video(np.random.default_rng(seed), 64, 96, length, level)


def neighbour_ious(level: str) -> list[float]:
    ious = []
    for seed in range(12):
        for _, masks in drawn(seed, level)[1]:
            for a, b in pairwise(masks):
                if a is not None and b is not None:
                    ious.append((a & b).sum() / (a | b).sum())
    return ious


@pytest.fixture(scope="module", params=[(), ("--hard",)], ids=["plain", "hard"])
def data_set(request, tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("shapes") / "made", *request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("shapes") / "plain")


def test_the_layout_is_that_of_youtube_vis(data_set):
    assert sorted(p.name for p in data_set.iterdir()) == [
        "train",
        "train.json",
        "valid",
        "valid.json",
    ]
    for split, number in (("train", 3), ("valid", 1)):
        data = json.loads((data_set / f"{split}.json").read_text())
        assert set(data) == {"info", "licenses", "videos", "categories", "annotations"}
        names = [(category["id"], category["name"]) for category in data["categories"]]
        assert names == list(enumerate(MOVING_SHAPES, 1))
        assert [video["id"] for video in data["videos"]] == list(range(1, number + 1))
        for i, video in enumerate(data["videos"]):
            names = [f"{split}_{i:05d}/{t:05d}.jpg" for t in range(SIZE["length"])]
            assert video == {"id": i + 1, **SIZE, "file_names": names}
            for name in names:
                frame = cv2.imread(str(data_set / split / "JPEGImages" / name))
                assert frame.shape == (64, 96, 3)
        assert len(list((data_set / split).rglob("*.jpg"))) == number * SIZE["length"]


def test_boxes_and_areas_are_those_of_the_masks(data_set):
    data = json.loads((data_set / "train.json").read_text())
    annotations = data["annotations"]
    assert [a["id"] for a in annotations] == list(range(1, len(annotations) + 1))
    assert {a["video_id"] for a in annotations} == {1, 2, 3}
    for annotation in annotations:
        assert annotation["iscrowd"] == 0 and 1 <= annotation["category_id"] <= len(MOVING_SHAPES)
        assert {key: annotation[key] for key in SIZE} == SIZE
        per_frame = [annotation[key] for key in ("segmentations", "bboxes", "areas")]
        assert [len(entries) for entries in per_frame] == [SIZE["length"]] * 3
        assert any(per_frame[0]), "annotation of an object that is never seen"
        for rle, box, area in zip(*per_frame, strict=True):
            assert (rle is None) == (box is None) == (area is None)
            if rle is None:
                continue
            assert isinstance(rle["counts"], str)
            mask = decoded(rle)
            assert mask.shape == (64, 96)
            assert area == mask.sum() >= MIN_VISIBLE_PIXELS
            y, x = np.nonzero(mask)
            assert box == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


def test_masks_of_a_frame_are_disjoint(data_set):
    data = json.loads((data_set / "train.json").read_text())
    cover = np.zeros((4, SIZE["length"], 64, 96), int)
    for annotation in data["annotations"]:
        for t, rle in enumerate(annotation["segmentations"]):
            if rle is not None:
                cover[annotation["video_id"], t] += decoded(rle)
    assert cover.max() == 1


def test_the_same_arguments_give_the_same_bytes(plain, tmp_path):
    assert digests(make(tmp_path / "again")) == digests(plain)


@pytest.mark.parametrize(
    "options, digest, means",
    [
        ((), "9121d38a68dc17a7026758ebbaa23439", [61.25, 154.45, 155.04]),
        (("--hard",), "7424dc4c77b6e5f9f259a453c5ccfa5f", [127.64, 81.61, 102.44]),
    ],
)
def test_plain_and_hard_videos_are_those_of_version_2(tmp_path, options, digest, means):
    made = make(tmp_path / "set", *options)
    assert digests(made)["train.json"] == digest
    # Pixels may depend on the version of OpenCV.
    frames = sorted((made / "train").rglob("00000.jpg"))
    assert [cv2.imread(str(x)).mean() for x in frames] == pytest.approx(means, abs=0.1)


def test_another_seed_gives_other_videos(plain, tmp_path):
    name = "train/JPEGImages/train_00000/00000.jpg"
    other = make(tmp_path / "other", train=1, val=0, seed=6)
    assert digests(other)[name] != digests(plain)[name]


def test_splits_and_videos_differ(plain):
    frames = [digest for name, digest in digests(plain).items() if name.endswith(".jpg")]
    assert len(set(frames)) == len(frames)


def test_a_video_does_not_depend_on_the_number_of_videos(plain, tmp_path):
    fewer = make(tmp_path / "fewer", train=1, val=0)
    old, new = (json.loads((d / "train.json").read_text()) for d in (plain, fewer))
    assert new["annotations"] == [a for a in old["annotations"] if a["video_id"] == 1]
    assert {k: v for k, v in digests(fewer).items() if k.endswith("jpg")}.items() <= digests(
        plain
    ).items()


def test_masks_lie_on_the_objects():
    """Inside a mask the colours differ from the background's."""
    for seed in range(6):
        frames, tracks = drawn(seed, "plain", length=2)
        everything = np.zeros((64, 96), bool)
        for _, masks in tracks:
            everything |= masks[0] if masks[0] is not None else False
        background = np.median(frames[0][~everything], axis=0)
        for _, masks in tracks:
            if masks[0] is not None:
                inside = frames[0][masks[0]].astype(float)
                assert np.median(np.linalg.norm(inside - background, axis=1)) > 40


def test_objects_leave_and_come_back():
    """There is no mask while an object is out of the frame, and masks before and after."""
    gaps = 0
    for seed in range(24):
        for _, masks in drawn(seed, "plain", length=24)[1]:
            seen = np.flatnonzero([mask is not None for mask in masks])
            gaps += len(seen) > 0 and len(seen) < seen[-1] - seen[0] + 1
    assert gaps >= 4


def test_hard_videos_are_faster_and_more_crowded():
    plain, hard = neighbour_ious("plain"), neighbour_ious("hard")
    assert np.mean(plain) > 0.5
    assert np.mean(hard) < 0.25
    assert np.mean(np.array(hard) < 0.1) > 0.2
    counts = [[len(drawn(seed, x, 1)[1]) for seed in range(40)] for x in ("plain", "hard")]
    assert (min(counts[0]), max(counts[0])) == (1, 4)
    assert (min(counts[1]), max(counts[1])) == (3, 6)


def test_all_categories_are_drawn():
    seen = {category for seed in range(40) for category, _ in drawn(seed, "hard", 1)[1]}
    assert seen == set(range(len(MOVING_SHAPES)))


@pytest.mark.parametrize("height, width, length", [(32, 32, 1), (33, 47, 2), (90, 40, 2)])
@pytest.mark.parametrize("level", ["plain", "hard"])
def test_odd_sizes(height, width, length, level):
    frames, tracks = draw_video(np.random.default_rng(0), height, width, length, level)
    assert [f.shape for f in frames] == [(height, width, 3)] * length
    assert all(f.dtype == np.uint8 for f in frames)
    for _, masks in tracks:
        assert len(masks) == length
        assert all(m is None or (m.shape == (height, width) and m.dtype == bool) for m in masks)


def test_an_empty_split(tmp_path):
    data = json.loads((make(tmp_path / "set", train=0, val=1) / "train.json").read_text())
    assert data["videos"] == data["annotations"] == []


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "set").mkdir()
    assert (make(tmp_path / "set", train=1, val=0) / "train.json").exists()


def test_an_existing_dataset_is_kept(tmp_path, capsys):
    before = digests(make(tmp_path / "set", train=1, val=0))
    stamp = (tmp_path / "set" / "train.json").stat().st_mtime_ns
    make(tmp_path / "set", train=1, val=0)
    assert "already" in capsys.readouterr().out
    assert (tmp_path / "set" / "train.json").stat().st_mtime_ns == stamp
    assert digests(tmp_path / "set") == before


def test_another_dataset_is_not_overwritten(tmp_path, capsys):
    before = digests(make(tmp_path / "set", train=1, val=0))
    with pytest.raises(SystemExit) as stop:
        make(tmp_path / "set", train=1, val=0, seed=6)
    assert stop.value.code == 2
    assert "remove it" in capsys.readouterr().err
    assert digests(tmp_path / "set") == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    "bad",
    ["--train=-1", "--val=-1", "--seed=-1", "--height=31", "--width=8", "--length=0", "--train=x"],
)
def test_bad_arguments(tmp_path, capsys, bad):
    with pytest.raises(SystemExit) as stop:
        make(tmp_path / "set", bad)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and bad.split("=")[0] in error
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_after_an_error(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("make_moving_shapes.make_split", fail)
    with pytest.raises(SystemExit) as stop:
        make(tmp_path / "set")
    assert stop.value.code == 2
    assert list(tmp_path.iterdir()) == []
