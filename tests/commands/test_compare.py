"""``maskprop compare``"""

import json

import pytest
from small_ytvis import make_ground_truth

from maskprop_d2.commands.compare import main


@pytest.fixture
def files(tmp_path):
    """The paths of a ground truth, of perfect results, and of results without a cat."""
    truth = make_ground_truth()
    keys = ("video_id", "category_id", "segmentations")
    perfect = [{**{k: x[k] for k in keys}, "score": 0.5} for x in truth["annotations"]]
    contents = {"gt.json": truth, "a/results.json": perfect, "b/results.json": perfect[1:]}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    return [str(tmp_path / x) for x in contents]


def test_comparison(files, tmp_path, capsys):
    output = tmp_path / "comparison.json"
    main([*files, "--output", str(output), "--resamples", "100"])
    found = json.loads(output.read_text())
    assert found["figures"]["a/results.json"]["AP"]["value"] == pytest.approx(100)
    difference = found["differences"]["b/results.json"]["AP"]
    assert difference["value"] == pytest.approx(100 * (76 / 101 - 1), abs=1.5)
    assert found["per_video"][0]["video_id"] == 1
    assert found["per_video"][0]["AP_gain"]["a/results.json"] == 0
    printed = capsys.readouterr().out
    assert "b/results.json minus a/results.json:" in printed and "video 1" in printed
    again = tmp_path / "again.json"
    main([*files, "--output", str(again), "--resamples", "100"])
    assert again.read_text() == output.read_text()


def test_one_model_has_intervals_too(files, capsys):
    main(files[:2])
    printed = capsys.readouterr().out
    assert "results.json:" in printed and "minus" not in printed


def test_a_page_needs_images_and_a_folder_of_its_own(files, tmp_path, capsys):
    with pytest.raises(SystemExit) as info:
        main([*files, "--page", str(tmp_path / "page")])
    assert info.value.code == 2 and "--page needs --images" in capsys.readouterr().err
    with pytest.raises(SystemExit) as info:
        main([*files, "--page", str(tmp_path), "--images", str(tmp_path)])
    error = capsys.readouterr().err
    assert info.value.code == 2 and "exists and is not a results page" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: [*x[:2], x[1]], "the same results file is given twice"),
        (lambda x: [*x[:2], "gone.json"], "gone.json: there is no such file"),
        (lambda x: [*x, "--output", "gone/file.json"], "must be a file in an existing folder"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(files, capsys, change, message):
    with pytest.raises(SystemExit) as info:
        main(change(files))
    error = capsys.readouterr().err
    assert info.value.code == 2 and message in error and error.count("\n") == 1


def test_too_few_resamples(files, capsys):
    with pytest.raises(SystemExit) as info:
        main([*files, "--resamples", "3"])
    assert info.value.code == 2 and "at least 100" in capsys.readouterr().err
