"""Splitting the training videos."""

import json

import numpy as np
import pytest
from split_ytvis import hold_out, main


def random_videos(number, seed):
    """One to three of 12 categories for each video id; some categories are rare."""
    rng = np.random.default_rng(seed)
    share = np.geomspace(1, 0.01, 12)
    ids = rng.permutation(10 * number)[:number].tolist()
    draw = [rng.choice(12, rng.integers(1, 4), False, share / share.sum()) for _ in ids]
    return {i: set(map(int, labels)) for i, labels in zip(ids, draw, strict=True)}


def counts(videos, ids):
    return {c: sum(c in videos[i] for i in ids) for c in range(12)}


def test_each_category_has_its_share_in_both_parts():
    for seed in range(5):
        videos = random_videos(600, seed)
        val = hold_out(videos, 0.1, seed)
        assert 50 <= len(val) <= 75
        total, held_out = counts(videos, videos), counts(videos, val)
        for category, number in total.items():
            if number >= 2:
                assert 1 <= held_out[category] < number
                # In a random split the standard deviation of a common category is about 6.
                assert abs(held_out[category] - 0.1 * number) <= 4


def test_a_category_with_two_videos_is_in_both_parts_and_a_single_video_is_for_training():
    videos = {i: {1} for i in range(20)} | {20: {1, 2}, 21: {2}, 22: {3, 1}}
    val = hold_out(videos, 0.1, 0)
    assert len(val & {20, 21}) == 1
    assert 22 not in val


def test_few_videos_are_split_even_if_a_part_lacks_categories():
    assert len(hold_out({1: {1, 2}, 2: {3}, 3: {4}}, 0.1, 0)) == 1
    assert len(hold_out({1: {1}, 2: {1}, 3: {2}, 4: {2}}, 0.9, 0)) == 3


def test_videos_without_objects_are_split_too():
    videos = {i: set() if i < 50 else {1} for i in range(100)}
    assert sum(i < 50 for i in hold_out(videos, 0.2, 0)) == 10


def test_the_split_depends_only_on_videos_fraction_and_seed():
    videos = random_videos(60, 0)
    val = hold_out(videos, 0.1, 1)
    assert val == hold_out(dict(reversed(videos.items())), 0.1, 1)
    assert val != hold_out(videos, 0.1, 2)
    # Models have been trained on this split: it must not change.
    assert sorted(hold_out({i: {i % 3} for i in range(30)}, 0.1, 1)) == [7, 27, 29]


@pytest.fixture
def file(tmp_path):
    videos = {i: {30 + i % 2} for i in range(20)}
    data = {
        "info": {"year": 2019},
        "videos": [
            {"id": i, "height": 4, "width": 4, "file_names": [f"{i}/0.jpg"]} for i in videos
        ],
        "categories": [{"id": 30, "name": "cat"}, {"id": 31, "name": "dog"}],
        "annotations": [
            {"id": 100 + i, "video_id": i, "category_id": c, "segmentations": [None]}
            for i, labels in videos.items()
            for c in labels
        ],
    }
    (tmp_path / "ytvis_2019/train/JPEGImages").mkdir(parents=True)
    path = tmp_path / "ytvis_2019/train.json"
    path.write_text(json.dumps(data))
    return path


def test_the_command_writes_both_parts_and_prints_counts(file, capsys):
    main(["--json", str(file), "--fraction", "0.2", "--seed", "3"])
    parts = [json.loads((file.parent / f"{x}_split.json").read_text()) for x in ("train", "val")]
    assert [len(part["videos"]) for part in parts] == [16, 4]
    for part in parts:
        assert part["info"] == {"year": 2019} and len(part["categories"]) == 2
        assert {x["video_id"] for x in part["annotations"]} == {x["id"] for x in part["videos"]}
        assert part["split"] == {"of": "train.json", "fraction": 0.2, "seed": 3}
    ids = [x["id"] for part in parts for x in part["annotations"]]
    assert sorted(ids) == list(range(100, 120))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cat", "8", "2"] in rows and ["all", "16", "4"] in rows


def test_a_dataset_name(file, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(file.parents[1]))
    main(["--dataset", "ytvis_2019"])
    assert (file.parent / "val_split.json").exists()


def test_another_split_is_not_overwritten(file, capsys):
    main(["--json", str(file)])
    main(["--json", str(file)])
    before = (file.parent / "val_split.json").read_text()
    with pytest.raises(SystemExit) as info:
        main(["--json", str(file), "--seed", "2"])
    assert info.value.code == 2 and "is another split" in capsys.readouterr().err
    assert (file.parent / "val_split.json").read_text() == before


def test_bad_input_gives_one_line_and_writes_nothing(file, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        main(["--json", str(file), "--fraction", "1.5"])
    capsys.readouterr()
    monkeypatch.setenv("DETECTRON2_DATASETS", str(file.parents[1]))
    data = json.loads(file.read_text())
    cases = [(["--dataset", "ovis"], "ovis does not hold the 'train' annotations")]
    cases += [(["--json", str(file)], "needs annotations and at least two videos")]
    file.write_text(json.dumps({**data, "annotations": []}))
    for arguments, message in cases:
        with pytest.raises(SystemExit) as info:
            main(arguments)
        error = capsys.readouterr().err
        assert info.value.code == 2 and message in error and error.count("\n") == 1
    assert {x.name for x in file.parent.iterdir()} == {"train", "train.json"}
