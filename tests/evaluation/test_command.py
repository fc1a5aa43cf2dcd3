"""``python -m maskprop_d2.evaluation``"""

import gzip
import json

import pytest

from maskprop_d2.evaluation.__main__ import main


@pytest.fixture
def files(tmp_path, ground_truth):
    kept = ("video_id", "category_id", "segmentations")
    results = [{**{k: x[k] for k in kept}, "score": 0.5} for x in ground_truth["annotations"]]
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    with gzip.open(tmp_path / "results.json.gz", "wt") as file:
        json.dump(results, file)
    return str(tmp_path / "gt.json"), str(tmp_path / "results.json.gz")


def test_it_prints_a_table_and_writes_the_metrics(files, tmp_path, capsys):
    main([*files, "--output", str(tmp_path / "metrics.json")])
    printed = capsys.readouterr().out
    assert "100.000" in printed and "cat" in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["AP"], metrics["AP-dog"]) == pytest.approx((100, 100))
    assert metrics["APl"] is None
    assert not list(tmp_path.glob("*.partial"))


def test_a_file_without_annotations_is_said_to_have_none(files, ground_truth, tmp_path, capsys):
    del ground_truth["annotations"]
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    main(list(files))
    assert "has no annotations: there is nothing to score against" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.json", None, "there is no such file"),
        ("cut.json", '[{"video_id": 1', "is not a whole json file"),
        ("cut.json.gz", "not gzip", "cannot be read"),
        ("deep.json", "[" * 100_000, "is not a whole json file"),
        ("other.json", "[1]", "entry 0 must be an object"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(files, tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    output = tmp_path / "metrics.json"
    with pytest.raises(SystemExit) as exit_info:
        main([files[0], str(tmp_path / name), "--output", str(output)])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert name in error and message in error
    assert not output.exists()
