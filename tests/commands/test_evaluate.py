"""``maskprop evaluate`` and ``python -m maskprop_d2.evaluation``"""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_ytvis import make_ground_truth

from maskprop_d2.commands.evaluate import main


@pytest.fixture
def ground_truth():
    return make_ground_truth()


@pytest.fixture
def files(tmp_path, ground_truth):
    """The paths of a ground truth and of perfect results."""
    keys = ("video_id", "category_id", "segmentations")
    results = [{**{k: x[k] for k in keys}, "score": 0.5} for x in ground_truth["annotations"]]
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    with gzip.open(tmp_path / "results.json.gz", "wt") as file:
        json.dump(results, file)
    return str(tmp_path / "gt.json"), str(tmp_path / "results.json.gz")


def test_table_and_metrics_file(files, tmp_path, capsys):
    main([*files, "--output", str(tmp_path / "metrics.json")])
    printed = capsys.readouterr().out
    assert "100.000" in printed and "cat" in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["AP"], metrics["AP-dog"]) == pytest.approx((100, 100))
    assert metrics["APl"] is None
    assert not list(tmp_path.glob("*.partial"))


def test_the_results_are_not_overwritten(files, capsys):
    before = Path(files[1]).read_bytes()
    with pytest.raises(SystemExit):
        main([*files, "--output", str(files[1])])
    assert "is what is read" in capsys.readouterr().err
    assert Path(files[1]).read_bytes() == before


def test_no_annotations(files, ground_truth, tmp_path, capsys):
    del ground_truth["annotations"]
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    main(list(files))
    assert "has no annotations: there is nothing to score against" in capsys.readouterr().out


def test_bad_output_path_fails_before_scoring(files, tmp_path, capsys):
    for output in (tmp_path, tmp_path / "gone/metrics.json"):
        with pytest.raises(SystemExit) as info:
            main([*files, "--output", str(output)])
        captured = capsys.readouterr()
        assert info.value.code == 2 and captured.out == ""
        assert captured.err == f"error: --output {output} must be a file in an existing folder\n"
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.json", None, "there is no such file"),
        ("cut.json", '[{"video_id": 1', "is not valid json"),
        ("cut.json.gz", "not gzip", "cannot be read"),
        ("deep.json", "[" * 100_000, "is not valid json"),
        ("other.json", "[1]", "1 entry of a wrong type, for example entry 0: must be an object"),
        ("results.zip", "any", "results.zip is an archive: pass the json file in it"),
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


def test_extra_figures_have_their_own_keys(files, tmp_path, capsys):
    output = tmp_path / "metrics.json"
    main([*files, "--output", str(output)])
    official = json.loads(output.read_text())
    assert not any(isinstance(x, dict | list) for x in official.values())
    main([*files, "--output", str(output), "--per-category", "--per-video", "--identity"])
    metrics = json.loads(output.read_text())
    assert metrics["per_category"]["dog"]["AR1"] == pytest.approx(100)
    assert metrics["per_category"]["dog"]["APl"] is None
    assert {x["video_id"]: x["AP_gain"] for x in metrics["per_video"]} == {1: 0, 2: 0}
    assert metrics["identity"]["IDF1"] == pytest.approx(100)
    assert {k: v for k, v in metrics.items() if k in official} == official
    assert metrics.keys() - official.keys() == {"per_category", "per_video", "identity"}
    printed = capsys.readouterr().out
    for heading in ("All figures by category", "Videos that cost the most AP", "ID_switches 0"):
        assert heading in printed


def test_hota(files, tmp_path, capsys):
    output = tmp_path / "metrics.json"
    main([*files, "--output", str(output), "--hota", "--per-category", "--per-video"])
    metrics = json.loads(output.read_text())
    for name in ("AP", "HOTA", "DetA", "AssA", "LocA", "IDF1", "MOTA", "HOTA-dog"):
        assert metrics[name] == pytest.approx(100)
    assert metrics["per_category"]["dog"]["HOTA"] == pytest.approx(100)
    assert [x["HOTA"] for x in metrics["per_video"]] == pytest.approx([100, 100])
    assert "HOTA by category" in capsys.readouterr().out


def test_oracle(files, ground_truth, tmp_path, capsys):
    ground_truth["annotations"][0]["category_id"] = 7
    (tmp_path / "gt.json").write_text(json.dumps(ground_truth))
    output = tmp_path / "metrics.json"
    main([*files, "--output", str(output), "--oracle", "classification"])
    metrics = json.loads(output.read_text())
    assert (metrics["AP"], metrics["oracle"]) == (pytest.approx(100), "classification")
    assert "With perfect classification" in capsys.readouterr().out


def test_mismatches_are_dropped_or_with_strict_an_error(files, tmp_path, capsys, caplog):
    with gzip.open(files[1], "rt") as file:
        results = json.load(file)
    results[0]["video_id"] = 99
    (tmp_path / "results.json").write_text(json.dumps(results))
    main([files[0], str(tmp_path / "results.json")])
    assert "dropped 1 entry with an unknown video" in caplog.text
    with pytest.raises(SystemExit) as exit_info:
        main([files[0], str(tmp_path / "results.json"), "--strict"])
    assert exit_info.value.code == 2
    assert "1 entry with an unknown video" in capsys.readouterr().err


def test_module_warns_on_standard_error_and_does_not_import_torch(files, tmp_path):
    (tmp_path / "results.json").write_text(
        '[{"video_id": 9, "category_id": 4, "score": 1, "segmentations": []}]'
    )
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    done = subprocess.run(
        [sys.executable, "-m", "maskprop_d2.evaluation", files[0], tmp_path / "results.json"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("WARNING: ") and done.stderr.count("\n") == 1
    assert "results.json: dropped 1 entry with an unknown video" in done.stderr
