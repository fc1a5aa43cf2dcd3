"""``maskprop diagnose``"""

import json

import pytest
from small_results import write_small_results

from maskprop_d2.commands.diagnose import main


@pytest.fixture
def files(tmp_path):
    write_small_results(tmp_path)
    return [str(tmp_path / "valid.json"), str(tmp_path / "results.json")]


def test_diagnosis(files, tmp_path, capsys):
    output = tmp_path / "diagnosis.json"
    main([*files, "--output", str(output)])
    found = json.loads(output.read_text())
    assert found["AP"] + sum(found["lost"].values()) == pytest.approx(100)
    # Two squares that swap, a disk that is missed in two frames, and a square that is called one.
    for kind in ("identity", "missed", "category"):
        assert found["lost"][kind] > 1
    assert found["lost"]["mask"] == pytest.approx(0)
    assert found["worst"]["identity"][0]["video_id"] == 3
    assert found["worst"]["category"][0]["video_id"] == 5
    printed = capsys.readouterr().out
    assert "What costs the other" in printed and "category   video 5" in printed


def test_bad_input_gives_one_line_and_status_2(files, tmp_path, capsys):
    (tmp_path / "empty.json").write_text(
        json.dumps({**json.loads((tmp_path / "valid.json").read_text()), "annotations": []})
    )
    for arguments, message in (
        ([files[0], "gone.json"], "gone.json: there is no such file"),
        ([str(tmp_path / "empty.json"), files[1]], "has no annotated objects"),
        ([*files, "--output", "gone/file.json"], "must be a file in an existing folder"),
    ):
        with pytest.raises(SystemExit) as info:
            main(arguments)
        error = capsys.readouterr().err
        assert info.value.code == 2 and message in error and error.count("\n") == 1
