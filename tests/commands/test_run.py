"""``maskprop run``"""

import json
import multiprocessing
import os
import signal
import tempfile
import threading
from pathlib import Path

import pytest
from small_archive import LENGTH, read_files, write_archive

from maskprop_d2.commands.run import main

LINK = ["--detections", "in/{stem}.json", "--tracker", "iou"]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Two videos and a folder of images in ``in``, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_archive(tmp_path / "in", videos=2)


def run(*options, output="out", status=None, inputs=("in",)):
    arguments = [*inputs, "--output", output, "--workers", "1", *LINK, *options]
    if status is None:
        main(arguments)
        return
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == status


def test_a_run_with_two_workers_and_shards(archive, capsys):
    run("--workers", "2")
    assert f"3 videos with {3 * LENGTH} frames in" in capsys.readouterr().out
    # A second run has nothing to do, and starts no worker.
    run()
    assert "0 videos with 0 frames" in (text := capsys.readouterr().out)
    assert "3 were finished before; 0 failed" in text
    for i in range(2):
        run("--shard", f"{i}/2", output="shards")
    files = read_files(archive.parent / "out")
    assert files == read_files(archive.parent / "shards") and len(files) == 6
    record = json.loads(Path("out/run.json").read_text())
    assert record["settings"]["tracker"] == "iou" and record["versions"]["torch"]


def test_a_bad_video_stops_no_other_and_is_tried_again(archive, capsys):
    good = Path("in/v0.mp4").read_bytes()
    Path("in/v0.mp4").write_bytes(b"no video")
    run(status=1)
    output = capsys.readouterr()
    assert "2 videos with" in output.out and "1 failed" in output.out
    assert f"failed: {archive}/v0.mp4: {archive}/v0.mp4 cannot be opened" in output.err
    (record,) = Path("out/failed").glob("*.json")
    assert json.loads(record.read_text())["video"] == str(archive / "v0.mp4")
    Path("in/v0.mp4").write_bytes(good)
    run()
    assert "1 videos with" in capsys.readouterr().out and not record.exists()


def test_results_beside_the_videos(archive, capsys):
    run("--detections", "{folder}/{stem}.json", output=".", inputs=["in/v0.mp4"])
    assert "1 videos with" in capsys.readouterr().out
    Path("in/v0.mp4").rename("videos/v0.mp4")
    run(output=".", inputs=["videos"], status=2)
    assert "all videos are in folders of results" in capsys.readouterr().err


def test_a_video_that_never_ends_and_a_killed_worker(archive, capsys, monkeypatch):
    Path("tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(Path("tmp").absolute()))
    # It blocks whoever opens it.
    os.mkfifo("in/blocks.mp4")
    for name in ("v0", "v1", "frames"):
        Path(f"in/{name}.json").rename(f"in/{name}.json.old")
    options = ["--timeout", "2", "--retries", "1"]
    inputs = ["in/blocks.mp4"]

    def kill():
        with open("in/blocks.mp4", "wb"):
            (worker,) = (x for x in multiprocessing.active_children() if x.pid)
            os.kill(worker.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    run(*options, inputs=inputs, status=1)
    thread.join()
    # Killed first, and then stopped.
    assert "no frame was finished for 2 s" in capsys.readouterr().err
    Path("in/blocks.mp4").unlink()
    Path("in/blocks.mp4").write_bytes(Path("in/v0.mp4").read_bytes())
    Path("in/v0.json.old").rename("in/blocks.json")
    run(*options, inputs=inputs)
    assert "1 videos with" in capsys.readouterr().out
    assert not list(Path("tmp").glob("maskprop-*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "gone.pt"], "not allowed with argument"),
        (["--shard", "2/2"], "2/2: of 2 parts, I is 0 to 1"),
        (["--shard", "2"], "must be I/N, such as 0/4"),
        (["--workers", "0"], "must be at least 1"),
        (["--retries", "-1"], "must be at least 0"),
        (["--engine", "ray", "--gpus-per-worker", "0"], "must be positive"),
        (["--engine", "ray", "--timeout", "9"], "--timeout is not for --engine ray"),
        (["--cpus-per-worker", "1"], "need --engine ray"),
        (["--short-side", "9"], "options of a model"),
        (["--stride", "0"], "stride"),
        (["--detections", "in/v0.json"], "is the same for all videos"),
        (["--output", "in/v0.mp4"], "is a file: name a folder"),
        (["--tracker", "magic"], "magic"),
    ],
)
def test_bad_options(options, message, archive, capsys):
    run(*options, status=2)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_with_results_of_other_settings(archive, capsys):
    run(inputs=["in/v0.mp4"])
    run("--stride", "2", "--tracker", "maskprop", status=2)
    line = capsys.readouterr().err.splitlines()[-1]
    assert "results of a run with stride 1 instead of 2, tracker 'iou' instead of 'mask" in line
