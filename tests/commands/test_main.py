"""The command ``maskprop``."""

import pytest

from maskprop_d2.commands.main import COMMANDS, main

WITHOUT_DETECTRON2 = [
    *("track", "models", "demo", "link", "propagate", "validate", "evaluate"),
    *("compare", "diagnose", "visualize", "annotations", "install-detectron2"),
]


def test_the_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for name, description in COMMANDS.items():
        assert f"  {name}" in text and description in text


@pytest.mark.parametrize("name", WITHOUT_DETECTRON2)
def test_the_help_of_a_command_shows_its_name(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: maskprop {name} ")


@pytest.mark.parametrize("name", ["train", "export"])
def test_the_help_of_a_command_that_needs_detectron2_shows_its_name(name, capsys):
    pytest.importorskip("detectron2", reason="needs Detectron2")
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: maskprop {name} ")
    assert "demo.py" not in text and "train_net.py" not in text


@pytest.mark.parametrize("arguments", [[], ["fly"]])
def test_a_missing_or_unknown_command_is_rejected(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: maskprop COMMAND" in capsys.readouterr().err


def test_the_remaining_arguments_go_to_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(tmp_path / "gone.json"), str(tmp_path / "results.json")])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "gone.json" in error


def test_without_detectron2_a_command_that_needs_it_says_so(without_detectron2, capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--help"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        'error: "maskprop train" needs Detectron2, which is not installed: '
        "maskprop install-detectron2\n"
    )
