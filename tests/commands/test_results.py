"""``maskprop results``"""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
from small_archive import LENGTH, LINKED, write_archive

from maskprop_d2.archive import results as archive_results
from maskprop_d2.archive.inputs import find_videos
from maskprop_d2.archive.processing import VideoProcessor
from maskprop_d2.archive.settings import record_run
from maskprop_d2.archive.storage import open_output
from maskprop_d2.commands.results import main


@pytest.fixture(params=[("json",), ("parquet",)], ids=["json", "parquet"])
def run_folder(request, tmp_path, monkeypatch):
    """A finished run over three videos in ``out``, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_archive(tmp_path / "in", videos=2)
    settings = replace(LINKED, formats=request.param)
    output = open_output("out")
    record_run(settings, output)
    processor = VideoProcessor(settings, output)
    for video in find_videos(["in"]):
        assert processor.process(video).reason is None
    return tmp_path


def load(name):
    return json.loads(Path(name).read_text())


def test_a_run_to_parquet_to_json_and_back(run_folder, monkeypatch, capsys):
    main(["out", "--output", "r.json"])
    assert "wrote r.json" in capsys.readouterr().out
    tracks = load("r.json")
    assert [x["video_id"] for x in tracks] == [1, 2, 3]
    videos = {"in/v0.mp4", "in/v1.mp4", "in/frames"}
    assert {x["video"] for x in tracks} == {str(run_folder / x) for x in videos}
    assert all(len(x["segmentations"]) == LENGTH for x in tracks)
    main(["out", "--output", "t.parquet"])
    main(["t.parquet", "--output", "r2.json"])
    assert load("r2.json") == tracks
    monkeypatch.setattr(archive_results, "ROWS_PER_FILE", 2 * LENGTH)
    main(["r.json", "--output", "tables"])
    assert [x.name for x in sorted(Path("tables").iterdir())] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert pyarrow.parquet.read_table("tables").num_rows == 3 * LENGTH
    # Replaces what an earlier call wrote.
    main(["r.json", "--output", "tables"])
    main(["tables", "--output", "r3.json"])
    assert load("r3.json") == tracks


def test_ids_of_an_annotation_file(run_folder, capsys):
    names = {"v0": 7, "frames": 9}
    size = {"height": 32, "width": 48}
    frames = {k: [f"{k}/{t}.jpg" for t in range(LENGTH)] for k in names}
    videos = [{"id": i, "file_names": frames[k], **size} for k, i in names.items()]
    truth = {"videos": videos, "categories": [{"id": 20, "name": "Car"}], "annotations": []}
    Path("valid.json").write_text(json.dumps(truth))
    main(["out", "--output", "r.json", "--annotations", "valid.json"])
    assert "dropped 1 tracks of videos that are not in valid.json" in capsys.readouterr().out
    ids = {Path(x["video"]).stem: (x["video_id"], x["category_id"]) for x in load("r.json")}
    assert ids == {"v0": (7, 20), "frames": (9, 20)}
    # Results of other programs have ids alone.
    known = {"video_id": 9, "category_id": 20, "score": 1, "segmentations": [None] * LENGTH}
    Path("other.json").write_text(json.dumps([known, {**known, "video_id": 8}]))
    main(["other.json", "--output", "r.json", "--annotations", "valid.json"])
    assert [x["video_id"] for x in load("r.json")] == [9]
    truth["categories"][0]["name"] = "dog"
    Path("valid.json").write_text(json.dumps(truth))
    fails("out", "--output", "r2.json", "--annotations", "valid.json")
    assert (
        "none of the categories of the tracks: its videos are frames, v0; its categories are dog"
        in (capsys.readouterr().err)
    )
    assert not Path("r2.json").exists()


def fails(*arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.json", "--output", "t"], "gone.json: there is no such file"),
        (["gone", "--output", "t"], "gone cannot be read as Parquet"),
        (["in", "--output", "t"], "in is no output folder of maskprop run, and has no .parquet"),
        (["memory://gone", "--output", "t"], "memory://gone is no output folder"),
        (["bad.json", "--output", "t"], "bad.json: entry 0: must be an object"),
        (["out", "--output", "s3://t/r.json"], "write to this machine"),
        (["out", "--output", "t.csv"], "must end in .json or .parquet, or be a folder"),
        (["out", "--output", "in"], "would be replaced, but holds"),
        (["out", "--output", "bad"], "--output bad is a file"),
        (["bad.json", "--output", "bad.json"], "is what is read"),
        (["out", "--output", "t", "--annotations", "bad.json"], "bad.json: must be an object"),
    ],
)
def test_bad_input(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("[1]")
    (tmp_path / "bad").touch()
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/notes.txt").touch()
    (tmp_path / "out/run.json").write_text('{"settings": {"formats": ["json"]}}')
    fails(*arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "t").exists()
