"""``python -m maskprop_d2.evaluation.submission``"""

import json
import zipfile

import pytest
from small_ytvis import track

from maskprop_d2.evaluation.submission import main

BOX = (0, 0, 10, 10)


@pytest.fixture
def check(tmp_path, ground_truth, capsys):
    """Runs the command on an archive with the given members; returns exit status, output, error."""
    del ground_truth["annotations"]
    (tmp_path / "set.json").write_text(json.dumps(ground_truth))

    def run(members=None, name="results.zip"):
        path = tmp_path / name
        if members is not None:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for member, content in members:
                    archive.writestr(member, content)
        with pytest.raises(SystemExit) as exit_info:
            main([str(tmp_path / "set.json"), str(path)])
        return exit_info.value.code, *capsys.readouterr()

    return run


def valid(**change):
    return {**track(1, 4, [BOX, None, BOX], score=0.5), **change}


def test_valid_submission(check, tmp_path):
    results = json.dumps([valid(), valid(), track(2, 7, [None], score=0)])
    status, output, error = check([("results.json", results)])
    assert (status, error) == (0, "")
    assert "3 valid entries for 2 videos" in output
    (tmp_path / "results.json").write_text(results)
    status, output, _ = check(name="results.json")
    assert status == 0
    assert "results.json in a .zip" in output


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        ([], "nothing"),
        (["results/results.json"], "'results/results.json'"),
        (["results.json", "log.txt"], "'results.json', 'log.txt'"),
        (["other.json"], "'other.json'"),
        (list("abcdef"), "'a', 'b', 'c', 'd', 'e', ..."),
    ],
)
def test_archive_must_hold_one_file(check, names, listed):
    status, output, _ = check([(name, "[]") for name in names])
    assert status == 1
    assert f"must hold only results.json, but holds {listed}\n" in output


def test_bad_entries_are_counted_with_an_example(check):
    entries = [
        valid(),
        valid(video_id=9),
        valid(video_id=9),
        valid(category_id=5),
        valid(segmentations=[None]),
        valid(segmentations=[{"size": [9, 9], "counts": "1"}, None, None]),
        valid(segmentations=[None, {"size": [20, 30], "counts": [600]}, None]),
        valid(segmentations=[None, None, [[1, 1, 5, 1, 5, 5]]]),
        valid(score="high"),
        7,
    ]
    status, output, _ = check([("results.json", json.dumps(entries))])
    assert status == 1
    assert "1 valid entries for 1 videos" in output
    for line in (
        "2 entries with an unknown video, for example entry 1: 'video_id' is 9",
        "1 entry with an unknown category, for example entry 3: 'category_id' is 5",
        "1 entry with another length than the video's, for example entry 4",
        "1 entry with a mask of another size than the frame's, for example entry 5, frame 0",
        "2 entries with a mask that is not a compressed RLE or null, for example entry 6",
        "1 entry with a bad 'score', for example entry 8: 'score' must be a number, not 'high'",
        "1 entry of a wrong type, for example entry 9: must be an object, not 7",
    ):
        assert f"problem: {line}" in output


def test_empty_list(check):
    status, output, _ = check([("results.json", "[]")])
    assert status == 1 and "no entries" in output


def test_unreadable_files_give_one_line_and_status_2(check, tmp_path):
    whole = [("results.json", json.dumps([valid()] * 50))]
    check(whole)
    content = (tmp_path / "results.zip").read_bytes()
    encrypted = bytearray(content)
    encrypted[6] |= 1
    encrypted[content.index(b"PK\x01\x02") + 8] |= 1
    damaged = content[:60] + b"\x00" * 40 + content[100:]
    for broken in (content[:100], content[:-30], b"no archive", bytes(encrypted), damaged):
        (tmp_path / "results.zip").write_bytes(broken)
        status, output, error = check()
        assert (status, output) == (2, "")
        assert error.startswith("error: ") and error.count("\n") == 1
    for text in ('{"a": 1}', '[{"video_id"', "[1] 2", "[" * 10**5, ""):
        status, _, error = check([("results.json", text)])
        assert status == 2 and "results.zip is not valid json" in error
    assert "there is no such file" in check(name="gone.zip")[2]
    (tmp_path / "set.json").write_text("{}")
    assert check(whole)[0] == 2
