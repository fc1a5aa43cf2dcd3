"""YouTube-VIS json -> tool -> YouTube-VIS json gives exactly the same masks."""

import json
from urllib.parse import parse_qs, urlparse

import pytest
from drawn_tracks import assert_same, write_video_folders

from maskprop_d2.annotation_tools import TOOLS
from maskprop_d2.commands.annotations import main

OUTPUTS = {"cvat": "cvat", "coco": "coco.json"}


@pytest.mark.parametrize("more", [[], ["--masks"]], ids=["polygons", "masks"])
@pytest.mark.parametrize("tool", TOOLS)
def test_round_trip(tool, more, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    truth = write_video_folders(tmp_path)
    output = OUTPUTS.get(tool, "folder")
    if (tool, more) == ("yolo", ["--masks"]):
        with pytest.raises(SystemExit):
            main(["gt.json", "--to", tool, "--output", output, *more])
        assert "YOLO has no masks" in capsys.readouterr().err
        assert not (tmp_path / output).exists()
        return
    main(["gt.json", "--to", tool, "--output", output, *more])
    assert "2 videos, 6 tracks" in capsys.readouterr().out
    main([output, "--from", tool, "--frames", "frames", "--output", "back.json"])
    assert_same(truth, tmp_path / "back.json")


@pytest.mark.parametrize("tool", ["cvat", "coco", "labelme", "label-studio"])
def test_without_the_frames(tool, tmp_path, monkeypatch):
    """Formats with sizes and names of frames need no frames."""
    monkeypatch.chdir(tmp_path)
    truth = write_video_folders(tmp_path)
    output = OUTPUTS.get(tool, "folder")
    main(["gt.json", "--to", tool, "--output", output, "--masks"])
    (tmp_path / "frames").rename(tmp_path / "elsewhere")
    main([output, "--from", tool, "--output", "back.json"])
    assert_same(truth, tmp_path / "back.json")


def test_tracks_of_a_video_as_maskprop_track_writes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = write_video_folders(tmp_path)
    names = {x["id"]: x["name"] for x in truth["categories"]}
    keys = ("video_id", "category_id", "segmentations")
    results = [
        {k: x[k] for k in keys} | {"score": x["id"] / 10, "track_id": x["id"]}
        for x in truth["annotations"]
    ]
    named = [x | {"category_name": names[x["category_id"]]} for x in results if x["video_id"] == 2]
    (tmp_path / "street_tracks.json").write_text(json.dumps(named))
    main(["street_tracks.json", "--to", "cvat", "--output", "street.xml"])
    main(["street.xml", "--from", "cvat", "--output", "back.json"])
    data = json.loads((tmp_path / "back.json").read_text())
    assert data["videos"][0]["file_names"] == [f"street/{t:05d}.jpg" for t in range(3)]
    # With the frames, the names are theirs; low scores are left out.
    main(["street_tracks.json", "--to", "cvat", "--output", "a.xml", "--frames", "frames"])
    main(["a.xml", "--from", "cvat", "--output", "back.json", "--frames", "frames"])
    data = json.loads((tmp_path / "back.json").read_text())
    assert data["videos"][0]["file_names"] == truth["videos"][1]["file_names"]
    masks = [x["segmentations"] for x in data["annotations"]]
    assert masks == [x["segmentations"] for x in named]
    more = ["--frames", "frames", "--score-threshold", "0.55"]
    main(["street_tracks.json", "--to", "cvat", "--output", "b.xml", *more])
    main(["b.xml", "--from", "cvat", "--output", "back.json", *more[:2]])
    assert len(json.loads((tmp_path / "back.json").read_text())["annotations"]) == 1
    # Results of an evaluation, with the annotation file.
    (tmp_path / "results.json").write_text(json.dumps(results))
    main(["results.json", "--to", "coco", "--annotations", "gt.json", "--output", "c.json"])
    main(["c.json", "--from", "coco", "--output", "back.json"])
    assert_same(truth, tmp_path / "back.json")


@pytest.mark.parametrize("name", ["my.video_tracks.json", "my.video_tracks_2.json"])
def test_the_name_of_a_video_is_that_of_its_tracks(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {**write_video_folders(tmp_path)["annotations"][0], "score": 1, "category_name": "cat"}
    (tmp_path / name).write_text(json.dumps([entry]))
    main([name, "--to", "coco", "--output", "c.json"])
    assert json.loads((tmp_path / "c.json").read_text())["images"][0]["file_name"] == (
        "my.video/00000.jpg"
    )


def test_the_output_may_be_an_empty_folder_or_in_a_new_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video_folders(tmp_path)
    (tmp_path / "empty").mkdir()
    for output in ("empty", "new/folder"):
        main(["gt.json", "--to", "labelme", "--output", output])
        assert list((tmp_path / output).rglob("*.json"))


def test_addresses_for_label_studio_are_quoted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = write_video_folders(tmp_path)
    truth["videos"][1]["file_names"] = [f"cats & dogs #1/{t}+0.jpg" for t in range(3)]
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    main(["gt.json", "--to", "label-studio", "--output", "folder"])
    tasks = json.loads((tmp_path / "folder/tasks.json").read_text())
    found = [parse_qs(urlparse(x["data"]["image"]).query)["d"][0] for x in tasks]
    assert found == [x for video in truth["videos"] for x in video["file_names"]]


def test_crowds_are_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    truth = write_video_folders(tmp_path)
    truth["annotations"][0]["iscrowd"] = 1
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    main(["gt.json", "--to", "coco", "--output", "c.json"])
    printed = capsys.readouterr().out
    assert "1 groups of objects (iscrowd) were left out" in printed and "5 tracks" in printed
