"""Output folders, on a disk and in an object store."""

import os
import shutil
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from maskprop_d2.archive.storage import LAST_FILE, open_output, video_folder
from maskprop_d2.errors import InputError

NAME = "v-0123456789abcdef"


@pytest.fixture(params=["local", "remote"])
def address(request, tmp_path):
    return str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4()}/out"


def publish(output, name=NAME, text="{}"):
    with output.new_video(name) as folder:
        (folder / "id_masks").mkdir()
        (folder / "id_masks/0.png").write_text("png")
        (folder / LAST_FILE).write_text(text)


def test_a_video_appears_when_it_is_whole(address):
    output = open_output(address)
    assert output.finished() == set() and not output.is_finished(NAME)
    with pytest.raises(KeyError), output.new_video(NAME) as folder:
        (folder / LAST_FILE).write_text("{}")
        assert not output.is_finished(NAME)
        raise KeyError
    assert output.finished() == set() and not output.is_finished(NAME)
    publish(output)
    assert output.finished() == {NAME} and output.is_finished(NAME)
    assert output.read_json(f"{video_folder(NAME)}/{LAST_FILE}") == {}


def test_the_first_of_two_processes_wins(address):
    first, second = open_output(address), open_output(address)
    with second.new_video(NAME) as folder:
        (folder / LAST_FILE).write_text("[2]")
        publish(first, text="[1]")
    assert first.read_json(f"{video_folder(NAME)}/{LAST_FILE}") == [1]


def test_json_files(address):
    output = open_output(address)
    assert output.read_json("run.json") is None and output.failed() == set()
    assert output.create_json("run.json", {"a": 1}) == {"a": 1}
    assert open_output(address).create_json("run.json", {"a": 2}) == {"a": 1}
    output.write_json(f"failed/{NAME}.json", {"reason": "?"})
    assert output.failed() == {NAME}
    for _ in range(2):
        output.delete(f"failed/{NAME}.json")
        assert output.failed() == set()


def test_one_process_per_part(tmp_path):
    first, same, other = (open_output(str(tmp_path), f"{i}-of-2") for i in (0, 0, 1))
    with first.lock():
        with pytest.raises(InputError, match="another process is writing"), same.lock():
            pass
        with other.lock():
            pass
    with same.lock():
        pass


def test_what_a_killed_process_left_is_deleted(tmp_path):
    code = f"""
import os, signal
from maskprop_d2.archive.storage import open_output
output = open_output({str(tmp_path)!r})
with output.lock(), output.new_video({NAME!r}) as folder:
    (folder / "video.json").write_text("{{")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    output = open_output(str(tmp_path))
    assert list(tmp_path.glob(".partial/*/*")) and output.finished() == set()
    with output.lock():
        assert not list(tmp_path.glob(".partial/*/*"))
        publish(output)
    assert output.finished() == {NAME}


def test_a_worker_that_outlives_its_run_publishes_no_part_of_a_video(tmp_path, monkeypatch):
    output, rmtree = open_output(str(tmp_path)), shutil.rmtree

    def delete(folder, **options):
        for file in Path(folder).rglob(LAST_FILE):
            file.unlink()
            target = tmp_path / video_folder(NAME)
            target.parent.mkdir(parents=True, exist_ok=True)
            # The worker publishes while its files are being deleted.
            with suppress(OSError):
                unfinished.rename(target)
        rmtree(folder, **options)

    with pytest.raises(FileNotFoundError), output.new_video(NAME) as unfinished:
        (unfinished / LAST_FILE).touch()
        monkeypatch.setattr(shutil, "rmtree", delete)
        with open_output(str(tmp_path)).lock():
            pass
    assert output.finished() == set()


def test_files_can_be_read_by_those_who_may_read_new_files(tmp_path):
    output = open_output(str(tmp_path))
    publish(output)
    output.create_json("run.json", {})
    (tmp_path / "other").mkdir()
    for path, other in [
        (video_folder(NAME), "other"),
        ("run.json", f"{video_folder(NAME)}/{LAST_FILE}"),
    ]:
        assert os.stat(tmp_path / path).st_mode == os.stat(tmp_path / other).st_mode


def test_bad_outputs(tmp_path):
    (tmp_path / "file").touch()
    for address, message in [(tmp_path / "file", "is a file"), ("foo://x", "Protocol not known")]:
        with pytest.raises(InputError, match=message):
            open_output(str(address))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        open_output(str(tmp_path)).read_json("run.json")
