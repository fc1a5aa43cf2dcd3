"""Errors that ``maskprop demo`` reports before it loads a model."""

import pytest

from maskprop_d2.commands.demo import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "folder.mp4"], "is a folder, but has the name of a video"),
        (["--output", "file"], "--output file is a file: name a folder"),
        (["--output", "a.mp4", "--id-masks", "file"], "--id-masks file is a file: name a folder"),
        (["--output", "a.doc"], "a video's name ends in one of"),
        (["--output", "frames"], "would overwrite the input"),
    ],
)
def test_outputs_that_cannot_be_written(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/0.jpg").touch()
    with pytest.raises(SystemExit) as end:
        main(["--model", "gone.pt", "--input", "frames", *options])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
