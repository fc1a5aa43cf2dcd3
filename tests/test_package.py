"""The wheel, installed outside of the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_results import write_small_results
from small_videos import write_data_set

ROOT = Path(__file__).parents[1]
RUN = """
import json, sys
from maskprop_d2.commands.main import main
import maskprop_d2
for command in json.loads(sys.argv[1]):
    print("maskprop", *command, flush=True)
    main(command)
print(maskprop_d2.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: building writes beside the sources. No network is needed."""
    pytest.importorskip("setuptools_scm", reason="needs setuptools-scm to build the package")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "maskprop_d2", source / "maskprop_d2", ignore=ignored)
    environment = {**os.environ, "SETUPTOOLS_SCM_PRETEND_VERSION": "1.2.3"}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "--wheel-dir", source, source], check=True, env=environment)
    return source / "maskprop_d2-1.2.3-py3-none-any.whl"


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Runs commands of the installed wheel in a folder, in one process."""
    site = tmp_path_factory.mktemp("site")
    # As pip would do, which takes seconds.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def run_in(folder, *commands):
        environment = {**os.environ, "PYTHONPATH": str(site), "DETECTRON2_DATASETS": str(folder)}
        result = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps([list(map(str, x)) for x in commands])],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
        assert result.stdout.splitlines()[-1] == str(site / "maskprop_d2/__init__.py")

    return run_in


def test_commands_run_outside_of_a_checkout(run, tmp_path):
    """They find configs and weights by name."""
    write_data_set(tmp_path)
    write_small_results(tmp_path / "scored")
    detections = [{"image_id": 0, "category_id": 1, "score": 0.9, "bbox": [5, 10, 10, 10]}]
    x, y = 5, 10
    outline = [[x, y, x + 10, y, x + 10, y + 10, x, y + 10]]
    detections[0]["segmentation"] = outline
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    scored = [tmp_path / "scored" / x for x in ("valid.json", "results.json")]
    page = ["--json", scored[0], "--results", scored[1], "--images", "scored/JPEGImages"]
    options = {
        "DATASETS.REGISTER": f"[['small', '{tmp_path}/train.json', '{tmp_path}']]",
        "DATASETS.TRAIN": "('small',)",
        "DATASETS.TEST": "()",
        "MODEL.DEVICE": "cpu",
        "MODEL.ROI_HEADS.NUM_CLASSES": "2",
        "INPUT.MIN_SIZE_TRAIN": "(40, 48)",
        "SOLVER.IMS_PER_BATCH": "1",
        "SOLVER.MAX_ITER": "1",
        "DATALOADER.NUM_WORKERS": "0",
    }
    pairs = [x for pair in options.items() for x in pair]
    # Starts from the tiny model.
    train = ["train", "--config-file", "moving_shapes/maskprop_tiny_masktrack.yaml", *pairs]
    run(
        tmp_path,
        ["link", "--detections", "detections.json", "--input", "v", "--output", "linked"],
        ["track", "v", "--model", "maskprop_tiny", "--output", "tracked"],
        ["demo", "--model", "maskprop_tiny", "--input", "v", "--output", "demo.mp4"],
        ["evaluate", *scored, "--output", "metrics.json"],
        ["visualize", *page, "--output", "page"],
        *([train] if find_spec("detectron2") else []),
    )
    assert json.loads((tmp_path / "linked/results.json").read_text())
    assert (tmp_path / "tracked/results.json").is_file() and (tmp_path / "demo.mp4").is_file()
    assert json.loads((tmp_path / "metrics.json").read_text())["AP"] > 0
    assert (tmp_path / "page/index.html").is_file()
    assert list(tmp_path.glob("output/**/model_final.pth")) or not find_spec("detectron2")
