"""Tracks as Parquet tables."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest

from maskprop_d2.errors import AnnotationError, InputError
from maskprop_d2.ops.rle import encode
from maskprop_d2.ytvis import track_table
from maskprop_d2.ytvis.track_table import check_entries, iterate_track_table, write_track_table

LENGTH = 5


def rle(x):
    mask = np.zeros((20, 30), bool)
    mask[3:9, x : x + 6] = True
    return encode(mask)


def entry(track_id, frames, video_id=1, **fields):
    return {
        "video_id": video_id,
        "category_id": 4,
        "score": 0.1 + 0.2,
        "segmentations": [rle(t + track_id) if t in frames else None for t in range(LENGTH)],
        "track_id": track_id,
        "category_name": "cat",
        **fields,
    }


ENTRIES = [
    entry(0, {0, 1, 4}),
    # The same track with a second category, and one without a mask.
    entry(0, {0, 1, 4}, category_id=5, category_name=None),
    entry(3, ()),
    # It divided from the first.
    entry(4, {4}, parent_id=0),
    entry(0, {2}, video_id=9),
]


@pytest.mark.parametrize("rows", [1, 1000])
def test_entries_come_back(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(track_table, "ROWS", max(10, rows))
    write_track_table(ENTRIES, tmp_path / "t.parquet")
    assert list(iterate_track_table(tmp_path / "t.parquet")) == [
        {**x, "video": None} for x in ENTRIES
    ]


def test_rows_are_what_other_programs_expect(tmp_path):
    write_track_table(ENTRIES, tmp_path / "t.parquet", video="/v/a.mp4")
    rows = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert len(rows) == 3 + 3 + 1 + 1 + 1
    assert rows[1] == {
        "video": "/v/a.mp4",
        "video_id": None,
        "num_frames": LENGTH,
        "height": 20,
        "width": 30,
        "track_id": 0,
        "parent_id": None,
        "category_id": 4,
        "category": "cat",
        "score": 0.1 + 0.2,
        "frame": 1,
        "x": 1,
        "y": 3,
        "w": 6,
        "h": 6,
        "area": 36,
        "rle": rle(1)["counts"],
    }
    assert rows[6]["frame"] is rows[6]["rle"] is None and rows[6]["num_frames"] == LENGTH


def test_no_tracks(tmp_path):
    write_track_table([], tmp_path / "t.parquet")
    assert list(iterate_track_table(tmp_path / "t.parquet")) == []


def test_tracks_without_id_are_numbered(tmp_path):
    entries = [{k: v for k, v in x.items() if k != "track_id"} for x in ENTRIES]
    write_track_table(entries, tmp_path / "t.parquet")
    assert [x["track_id"] for x in iterate_track_table(tmp_path / "t.parquet")] == [0, 1, 2, 3, 4]


def test_rows_in_another_order(tmp_path):
    path = tmp_path / "t.parquet"
    write_track_table(ENTRIES, path)
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.take([0, 3, 1, 2, 4, 5, 6, 7]), path)
    with pytest.raises(AnnotationError, match="the rows of track 0 of video 1 do not follow each"):
        list(iterate_track_table(path))
    pyarrow.parquet.write_table(table.take([1, 0]), path)
    with pytest.raises(AnnotationError, match="track 0 of video 1: frame 0 after 1 of 5 frames"):
        list(iterate_track_table(path))


def test_bad_files(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(AnnotationError, match="cannot be read as Parquet"):
        list(iterate_track_table(path))
    path.write_text("no table")
    with pytest.raises(AnnotationError, match="cannot be read as Parquet"):
        list(iterate_track_table(path))
    pyarrow.parquet.write_table(pyarrow.table({"video": ["a"]}), path)
    with pytest.raises(AnnotationError, match="lacks the columns"):
        list(iterate_track_table(path))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("num_frames", 2**31 - 1, "2147483647 frames: the limit is"),
        ("num_frames", -1, "-1 frames"),
        ("score", None, "score is null"),
        ("rle", None, "frame 0 has no mask"),
        ("height", None, "frame 0 has no mask, or no size"),
        ("frame", "first", "cannot be read as Parquet"),
    ],
)
def test_bad_values(column, value, message, tmp_path):
    path = tmp_path / "t.parquet"
    write_track_table(ENTRIES[:1], path)
    table = pyarrow.parquet.read_table(path)
    i = table.column_names.index(column)
    type_ = pyarrow.string() if isinstance(value, str) else table.schema.types[i]
    table = table.set_column(i, column, pyarrow.array([value] * len(table), type_))
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(AnnotationError, match=message):
        list(iterate_track_table(path))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("video_id", -1, "'video_id' must be a whole number, not -1"),
        ("category_id", 2**70, "'category_id' must be a whole number"),
        ("track_id", "1", "'track_id' must be a whole number, not '1'"),
        ("parent_id", -2, "'parent_id' must be a whole number, not -2"),
        ("score", None, "'score' must be a number, not None"),
        ("category_name", 3, "'category_name' must be a string, not 3"),
        ("segmentations", {}, "'segmentations' must be a list"),
        ("segmentations", [{"size": [20], "counts": "x"}], "'size' must be two numbers"),
        ("segmentations", [{"size": [2**20, 2**20], "counts": "x"}], "the limit is"),
        ("segmentations", [[1, 2, 3]], "polygons without the size"),
        ("segmentations", [None, {"size": [20, 30], "counts": "x"}], "frame 1: "),
    ],
)
def test_bad_entries(field, value, message):
    with pytest.raises(AnnotationError) as error:
        list(check_entries([entry(0, {1}), entry(0, {1}) | {field: value}], "r.json"))
    assert str(error.value).startswith("r.json: entry 1: ") and message in str(error.value)


def test_good_entries(tmp_path):
    uncompressed = {"size": [20, 30], "counts": [63, 6, 531]}
    bare = {"video_id": 1, "category_id": 4, "score": 1, "segmentations": [uncompressed, None]}
    (checked,) = check_entries(json.loads(json.dumps([bare])), "r.json")
    mask = np.zeros((20, 30), bool)
    mask[3:9, 3] = True
    assert checked["segmentations"] == [encode(mask), None]
    assert list(check_entries(ENTRIES, "r.json")) == ENTRIES


def test_without_pyarrow_one_line_says_what_to_install(tmp_path):
    code = """
import sys
sys.modules["pyarrow"] = None
from maskprop_d2.errors import InputError
from maskprop_d2.ytvis.track_table import write_track_table
try:
    write_track_table([], "t.parquet")
except InputError as error:
    print(error)
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "pip install 'maskprop-d2[parquet]'" in result.stdout
    assert InputError and not list(tmp_path.iterdir())
