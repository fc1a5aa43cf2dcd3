"""``maskprop visualize``: the data of the results page."""

import json
import re
from urllib.parse import unquote

import pytest
from small_results import DISK, HEIGHT, LENGTH, NAMES, SQUARE, masks, write_small_results

from maskprop_d2.commands.visualize import main
from maskprop_d2.evaluation import evaluate, hota_measures


@pytest.fixture
def data(tmp_path):
    return write_small_results(tmp_path)


def write(folder, **changed):
    options = {
        "json": folder / "valid.json",
        "results": folder / "results.json",
        "images": folder / "JPEGImages",
        "output": folder / "page",
        **changed,
    }
    main([f"--{name}={value}" for name, value in options.items()])


def read(path, function):
    found = re.fullmatch(rf"{function}\((.*)\);\n", path.read_text())
    return json.loads(found[1])


def summary(folder):
    return read(folder / "page/data/summary.js", "receiveSummary")


def video(folder, video_id):
    """A video with what the only model makes of its objects."""
    shown = read(folder / f"page/data/video_{video_id}.js", "receiveVideo")
    (model,) = shown["models"]
    objects = [{**x, **line} for x, line in zip(shown["objects"], model["objects"], strict=True)]
    return {**shown, **model, "objects": objects}


def spans(line):
    return [(x["state"], x["start"], x["end"], x["partner"]) for x in line["spans"]]


def test_swapped_identities_and_a_missed_object(data, tmp_path):
    write(tmp_path)
    shown = video(tmp_path, 3)
    first, second, disk = shown["objects"]
    # Predictions by falling score: 0.95 begins on the first square, 0.92 is the disk.
    assert [x["score"] for x in shown["predictions"]] == [0.95, 0.92, 0.9]
    assert spans(first) == [("found", 0, 5, 0), ("found", 5, 8, 2)]
    assert spans(second) == [("found", 0, 5, 2), ("found", 5, 8, 0)]
    assert spans(disk) == [("missed", 2, 4, None), ("found", 4, 6, 1)]
    assert [x["switches"] for x in shown["objects"]] == [[5], [5], []]
    assert [spans(x) for x in shown["predictions"]] == [
        [("found", 0, 5, 0), ("found", 5, 8, 1)],
        [("found", 4, 6, 2)],
        [("found", 0, 5, 1), ("found", 5, 8, 0)],
    ]
    # Each prediction has the colour of the object that it finds most often.
    assert [x["color"] for x in shown["objects"]] == [0, 1, 2]
    assert [x["color"] for x in shown["predictions"]] == [0, 2, 1]


def test_a_wrong_category_a_false_positive_and_a_crowd(data, tmp_path):
    write(tmp_path)
    shown = video(tmp_path, 5)
    assert [spans(x) for x in shown["objects"]] == [[("wrong category", 0, 8, 1)]]
    assert [x["score"] for x in shown["predictions"]] == [0.94, 0.93, 0.91]
    in_crowd, confused, false = shown["predictions"]
    assert spans(in_crowd) == [("ignored", 0, 8, None)]
    assert spans(confused) == [("wrong category", 0, 8, 0)]
    assert spans(false) == [("false", 0, 3, None)]
    # The object has colour 0, and so has the prediction on it.
    assert [x["color"] for x in shown["predictions"]] == [1, 0, 2]
    assert [x["category"] for x in shown["crowds"]] == [SQUARE]


def test_correct_tracks_are_found_in_all_frames(data, tmp_path):
    write(tmp_path)
    shown = video(tmp_path, 9)
    assert [spans(x) for x in shown["objects"]] == [[("found", 0, 8, 0)], [("found", 0, 8, 1)]]
    assert [spans(x) for x in shown["predictions"]] == [[("found", 0, 8, 0)], [("found", 0, 8, 1)]]


def test_masks_and_frames(data, tmp_path):
    write(tmp_path)
    disk = video(tmp_path, 3)["objects"][2]
    assert disk["masks"] == [x and x["counts"] for x in masks(2, range(2, 6))]
    for video_id, name in NAMES.items():
        urls = video(tmp_path, video_id)["frames"]
        assert len(urls) == LENGTH and not any(c in "".join(urls) for c in " #?")
        assert all(x.startswith("../JPEGImages/") for x in urls)
        assert all((tmp_path / "page" / unquote(x)).is_file() for x in urls)
        assert unquote(urls[2]).endswith(f"{name}/00002.png")


def test_the_summary(data, tmp_path):
    write(tmp_path)
    found = summary(tmp_path)
    metrics = evaluate(*data, hota=True)
    figures = {k: v for k, v in metrics.as_dict().items() if not k.startswith("AP-")}
    (model,) = found["models"]
    scored = model["scored"]
    # IDTP: 5 + 5 + 2 frames of video 3 and 16 of video 9. Objects have 44 frames, and predictions
    # 45 without those in the crowd.
    expected = {**figures, "IDF1": 100 * 2 * 28 / (44 + 45), "ID switches": 2}
    expected |= {k: v for k, v in hota_measures(metrics).items() if k in ("HOTA", "DetA", "AssA")}
    assert scored["figures"] == pytest.approx(expected)
    # Curves are rounded.
    assert scored["by_threshold"][0] == pytest.approx(figures["AP50"], abs=0.01)
    assert scored["by_threshold"][5] == pytest.approx(figures["AP75"], abs=0.01)
    assert sum(scored["by_threshold"]) / 10 == pytest.approx(figures["AP"], abs=0.01)
    for name in ("HOTA", "DetA", "AssA", "LocA"):
        assert sum(scored["tracking"][name]) / 19 == pytest.approx(
            hota_measures(metrics)[name], abs=0.01
        )
    disk = next(x for x in scored["by_category"] if x["id"] == DISK)
    assert disk["AP"] == pytest.approx(metrics.per_category()["<b>disk</b>"]["AP"])
    by_category = metrics.per_category()["<b>disk</b>"]
    assert disk["by_threshold"][5] == pytest.approx(by_category["AP75"], abs=0.01)
    assert sum(disk["tracking"]["HOTA"]) / 19 == pytest.approx(
        hota_measures(metrics)["HOTA-<b>disk</b>"], abs=0.01
    )
    assert model["score_threshold"] == 0.9

    rows = [{**x, **x["models"][0]} for x in found["videos"]]
    assert [x["gain"] for x in rows] == sorted(x["gain"] for x in rows)[::-1]
    by_id = {x["id"]: x for x in rows}
    assert {k: x["name"] for k, x in by_id.items()} == NAMES
    kept = ("switches", "found", "missed", "wrong_category", "false", "objects", "predictions")
    assert {k: [x[name] for name in kept] for k, x in by_id.items()} == {
        3: [2, 18, 2, 0, 0, 3, 3],
        5: [0, 0, 0, 8, 3, 1, 3],
        9: [0, 16, 0, 0, 0, 2, 2],
    }
    assert by_id[5]["categories"] == [SQUARE, DISK]


def test_score_threshold(data, tmp_path):
    write(tmp_path, **{"score-threshold": 0.0})
    assert [x["score"] for x in video(tmp_path, 3)["predictions"]] == [0.95, 0.92, 0.9, 0.1]
    # It has another category, and the object has a prediction already.
    assert spans(video(tmp_path, 3)["predictions"][3]) == [("false", 0, 8, None)]


def test_predictions_alone(data, tmp_path):
    truth, _ = data
    del truth["annotations"]
    (tmp_path / "valid.json").write_text(json.dumps(truth))
    write(tmp_path)
    found = summary(tmp_path)
    (model,) = found["models"]
    assert model["scored"] is None and model["score_threshold"] == 0.3
    gains = [(x["id"], x["models"][0]["gain"]) for x in found["videos"]]
    assert gains == [(3, None), (5, None), (9, None)]
    shown = video(tmp_path, 3)
    assert shown["objects"] == []
    assert [spans(x) for x in shown["predictions"]][1] == [("seen", 4, 6, None)]


def test_no_predictions(data, tmp_path):
    (tmp_path / "results.json").write_text("[]")
    write(tmp_path)
    assert summary(tmp_path)["models"][0]["scored"]["figures"]["AP"] == 0
    assert spans(video(tmp_path, 9)["objects"][0]) == [("missed", 0, 8, None)]


def test_an_earlier_page_is_replaced_and_no_other_file_is_left(data, tmp_path):
    before = sorted(x.name for x in tmp_path.iterdir())
    write(tmp_path)
    (tmp_path / "page/stale").touch()
    write(tmp_path)
    assert not (tmp_path / "page/stale").exists()
    assert (tmp_path / "page/index.html").is_file()
    assert sorted(x.name for x in tmp_path.iterdir()) == sorted([*before, "page"])


def _no_frame(folder):
    (folder / "JPEGImages/perfect/00003.png").unlink()


def _cut(folder):
    (folder / "results.json").write_text('[{"video_id": 3')


def _foreign(folder):
    (folder / "page").mkdir()
    (folder / "page/thesis.tex").touch()


@pytest.mark.parametrize(
    ("damage", "changed", "message"),
    [
        (_no_frame, {}, "lacks 1 of 24 frames, for example perfect/00003.png of video 9"),
        (_cut, {}, "results.json is not valid json"),
        (_foreign, {}, "exists and is not a results page"),
        (None, {"json": "gone.json"}, "gone.json: there is no such file"),
        (None, {"images": "gone"}, "--images gone must be the image folder"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(data, tmp_path, capsys, damage, changed, message):
    if damage:
        damage(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as exit_info:
        write(tmp_path, **changed)
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert sorted(tmp_path.rglob("*")) == before


def test_the_earlier_page_stays_if_the_disk_is_full(data, tmp_path, monkeypatch, capsys):
    write(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("maskprop_d2.evaluation.page._write_call", fail)
    with pytest.raises(SystemExit) as exit_info:
        write(tmp_path)
    assert exit_info.value.code == 2
    assert "error: no space left on device" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    assert video(tmp_path, 3)["height"] == HEIGHT
