"""``python -m maskprop_d2.evaluation``"""

import gzip
import json
import os
import subprocess
import sys

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


def test_an_output_that_cannot_be_written_is_refused_before_scoring(files, tmp_path, capsys):
    for output in (tmp_path, tmp_path / "gone/metrics.json"):
        with pytest.raises(SystemExit) as info:
            main([*files, "--output", str(output)])
        captured = capsys.readouterr()
        assert info.value.code == 2 and captured.out == ""
        assert captured.err == f"error: --output {output} must be a file in a folder that exists\n"
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.json", None, "there is no such file"),
        ("cut.json", '[{"video_id": 1', "is no json that can be used"),
        ("cut.json.gz", "not gzip", "cannot be read"),
        ("deep.json", "[" * 100_000, "is no json that can be used"),
        ("other.json", "[1]", "entry 0 must be an object"),
        ("results.zip", "any", "results.zip is an archive: give the json file in it"),
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


def test_what_is_asked_for_beside_stands_apart_from_the_flat_figures(files, tmp_path, capsys):
    output = tmp_path / "metrics.json"
    main([*files, "--output", str(output)])
    flat = json.loads(output.read_text())
    assert not any(isinstance(x, dict | list) for x in flat.values())
    main([*files, "--output", str(output), "--per-category", "--per-video", "--identity"])
    metrics = json.loads(output.read_text())
    assert metrics["per_category"]["dog"]["AR1"] == pytest.approx(100)
    assert metrics["per_category"]["dog"]["APl"] is None
    assert {x["video_id"]: x["AP_gain"] for x in metrics["per_video"]} == {1: 0, 2: 0}
    assert metrics["identity"]["IDF1"] == pytest.approx(100)
    assert {k: v for k, v in metrics.items() if k in flat} == flat
    assert metrics.keys() - flat.keys() == {"per_category", "per_video", "identity"}
    printed = capsys.readouterr().out
    for heading in ("All figures by category", "Videos that cost most AP", "ID_switches 0"):
        assert heading in printed


def test_an_oracle_changes_the_figures_and_is_named(files, ground_truth, tmp_path, capsys):
    ground_truth["annotations"][0]["category_id"] = 7
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    output = tmp_path / "metrics.json"
    main([*files, "--output", str(output), "--oracle", "classification"])
    metrics = json.loads(output.read_text())
    assert (metrics["AP"], metrics["oracle"]) == (pytest.approx(100), "classification")
    assert "With perfect classification" in capsys.readouterr().out


def test_strict_refuses_what_is_else_left_out(files, tmp_path, capsys, caplog):
    with gzip.open(files[1], "rt") as file:
        results = json.load(file)
    results[0]["video_id"] = 99
    (tmp_path / "results.json").write_text(json.dumps(results))
    main([files[0], str(tmp_path / "results.json")])
    assert "left out: 1 entry with an unknown video" in caplog.text
    with pytest.raises(SystemExit) as exit_info:
        main([files[0], str(tmp_path / "results.json"), "--strict"])
    assert exit_info.value.code == 2
    assert "1 entry with an unknown video" in capsys.readouterr().err


def test_it_warns_on_standard_error_and_starts_without_torch(files, tmp_path):
    (tmp_path / "results.json").write_text(
        '[{"video_id": 9, "category_id": 4, "score": 1, "segmentations": []}]'
    )
    refuse = tmp_path / "torch.py"
    refuse.write_text("raise ImportError('torch was imported')")
    done = subprocess.run(
        [sys.executable, "-m", "maskprop_d2.evaluation", files[0], tmp_path / "results.json"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("WARNING: ") and done.stderr.count("\n") == 1
    assert "results.json: left out: 1 entry with an unknown video" in done.stderr
