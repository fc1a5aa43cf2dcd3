"""Processing single videos of an archive."""

import json
import os
import sys
from dataclasses import replace

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from small_archive import LENGTH, LINKED, mask_of, read_files, write_archive

from maskprop_d2.archive.copies import LocalCopies
from maskprop_d2.archive.inputs import Video, find_videos
from maskprop_d2.archive.jobs import Outcome
from maskprop_d2.archive.processing import VideoProcessor
from maskprop_d2.archive.settings import Settings
from maskprop_d2.archive.storage import LocalFolder, open_output, video_folder
from maskprop_d2.archive.worker import GPU_LOST, process_video
from maskprop_d2.errors import InputError
from maskprop_d2.ops.rle import encode
from maskprop_d2.video import VideoFile
from maskprop_d2.ytvis.track_table import iterate_track_table


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path / "in", videos=1)


def video_of(path):
    return Video(str(path), is_folder=path.is_dir())


def process(path, output, settings=LINKED, **options):
    """Process one video; returns its outcome and its folder."""
    processor = VideoProcessor(settings, open_output(str(output)))
    video = video_of(path)
    return processor.process(video, **options), output / video_folder(video.name)


@pytest.mark.parametrize("name", ["v0.mp4", "frames"])
def test_all_outputs_of_a_video(name, archive, tmp_path):
    settings = replace(LINKED, formats=("json", "parquet"), id_masks=True, draw=True)
    frames = []
    outcome, folder = process(archive / name, tmp_path / "out", settings, report=frames.append)
    assert outcome.reason is None and outcome.frames == LENGTH
    assert frames == list(range(1, LENGTH + 1))
    (track,) = json.loads((folder / "results.json").read_text())
    assert track["segmentations"] == [encode(mask_of(0, t)) for t in range(LENGTH)]
    assert track["category_id"] == 3 and track["category_name"] == "car"
    (row,) = iterate_track_table(folder / "tracks.parquet")
    assert row["segmentations"] == track["segmentations"]
    assert row["video"] == str(archive / name) and row["video_id"] is None
    assert len(list(VideoFile(folder / "tracks.mp4"))) == LENGTH
    ids = Image.open(folder / "id_masks" / ("2.png" if name == "frames" else "00002.png"))
    assert np.array_equal(np.asarray(ids) > 0, mask_of(0, 2))
    summary = json.loads((folder / "video.json").read_text())
    assert summary == {
        "video": str(archive / name),
        "frames": LENGTH,
        "tracks": 1,
        "fps": 10.0,
        "height": 32,
        "width": 48,
        "warnings": [],
    }
    # Nothing else is left.
    assert not list((tmp_path / "out/.partial").rglob("*/*"))


def test_a_model(archive, tmp_path):
    settings = Settings(model="maskprop_tiny", duration=0.2)
    outcome, folder = process(archive / "v0.mp4", tmp_path / "out", settings)
    assert outcome.reason is None and outcome.frames == 2
    assert isinstance(json.loads((folder / "results.json").read_text()), list)


def test_addresses_for_videos_detections_and_outputs(archive, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.put(f"{archive}/", "/archive/", recursive=True)
    settings = replace(LINKED, formats=("json", "parquet"))
    output = open_output("memory://out")
    videos = find_videos(["memory://archive"])
    processor = VideoProcessor(settings, output)
    assert [processor.process(x).reason for x in videos] == [None, None]
    assert output.finished() == {x.name for x in videos}
    assert all(map(output.is_finished, output.finished()))
    for video in videos:
        _, folder = process(archive / video.address.rpartition("/")[2], tmp_path / "out", settings)
        for file in ("results.json", "video.json"):
            content = memory.cat_file(f"/out/{video_folder(video.name)}/{file}")
            local = (folder / file).read_bytes()
            assert content == local.replace(str(archive).encode(), b"memory:///archive")
    # Nothing is written twice.
    before = memory.info(f"/out/{video_folder(videos[0].name)}/video.json")["created"]
    assert processor.process(videos[0]).reason is None
    after = memory.info(f"/out/{video_folder(videos[0].name)}/video.json")["created"]
    assert before == after


def test_what_is_copied_from_an_address():
    memory = fsspec.filesystem("memory")
    names = "0.jpg", "1.JPG", "notes.txt", "big.mp4", "deeper/2.jpg"
    memory.pipe({f"/copied/{name}": b"12" for name in names})
    with LocalCopies() as copies:
        folder = copies.open("memory://copied", is_folder=True)
        assert {x.name for x in folder.rglob("*")} == {"0.jpg", "1.JPG"}
        with pytest.raises(InputError, match=r"memory://copied/gone\.mp4: there is no such file"):
            copies.open("memory://copied/gone.mp4")
    assert not folder.exists()


def test_a_worker_without_its_gpu_ends(archive, tmp_path, monkeypatch):
    # Another one takes its place.
    processor = VideoProcessor(LINKED, open_output(str(tmp_path)))
    video = video_of(archive / "v0.mp4")
    outcome = Outcome(video, reason="CUDA error", details="Traceback ...")
    monkeypatch.setattr(processor, "process", lambda *_: outcome)
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    assert process_video(processor, video, 0) is outcome and not ended

    def synchronize():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert process_video(processor, video, 0) is outcome and not ended
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    process_video(processor, video, 0)
    assert ended == [GPU_LOST]


def test_a_damaged_video_says_so(archive, tmp_path):
    path = archive / "v0.mp4"
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start + 800 :] = bytes(len(data) - start - 800)
    path.write_bytes(data)
    outcome, folder = process(path, tmp_path / "out")
    assert outcome.reason is None
    (warning,) = json.loads((folder / "video.json").read_text())["warnings"]
    assert warning.startswith(f"{path} is truncated or damaged")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.mp4", "gone.mp4 cannot be opened as a video"),
        ("v0.json", "v0.json has no video stream"),
        ("other.mp4", "other.json: there is no such file"),
    ],
)
def test_bad_videos_fail_at_once(name, message, archive, tmp_path):
    (archive / "other.mp4").write_bytes((archive / "v0.mp4").read_bytes())
    outcome, folder = process(archive / name, tmp_path / "out", retries=5)
    assert message in outcome.reason and outcome.details is None and not outcome.stops_run
    assert not folder.exists() and not list((tmp_path / "out").rglob("*.json"))


class BrokenFolder(LocalFolder):
    """Fails a number of times when a video is published."""

    failures = 0
    error = OSError(5, "the store is busy")

    def is_finished(self, name):
        if self.failures:
            self.failures -= 1
            raise self.error
        return super().is_finished(name)


def test_other_failures_are_retried(archive, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    output = BrokenFolder(str(tmp_path / "out"))
    processor = VideoProcessor(LINKED, output)
    video = video_of(archive / "v0.mp4")
    output.failures = 3
    outcome = processor.process(video, retries=2)
    assert outcome.reason == "OSError: [Errno 5] the store is busy" and waits == [1, 2]
    assert "Traceback" in outcome.details and not output.finished()
    output.failures = 2
    assert processor.process(video, retries=2).reason is None
    assert output.finished() == {video.name}


def test_a_full_disk_stops_the_run(archive, tmp_path):
    output = BrokenFolder(str(tmp_path / "out"))
    output.failures, output.error = 9, OSError(28, "No space left on device")
    outcome = VideoProcessor(LINKED, output).process(video_of(archive / "v0.mp4"), retries=3)
    assert outcome.stops_run and output.failures == 8


def test_two_runs_write_the_same(archive, tmp_path):
    settings = replace(LINKED, formats=("json", "parquet"), id_masks=True, draw=True)
    for output in ("a", "b"):
        process(archive / "v0.mp4", tmp_path / output, settings)
    files, others = read_files(tmp_path / "a"), read_files(tmp_path / "b")
    (video,) = (name for name in files if name.endswith(".mp4"))
    # x264 chooses bit rates by memory that it does not initialize, and the pictures differ a bit.
    for name in (*files, *others):
        if name != video:
            assert files[name] == others[name]
    drawn, drawn_again = (VideoFile(tmp_path / output / video) for output in ("a", "b"))
    for frame, other in zip(drawn, drawn_again, strict=True):
        assert np.allclose(frame, other, atol=24)


def test_a_wrong_option_is_found_before_the_first_video(tmp_path, monkeypatch):
    output = open_output(str(tmp_path))
    for settings in (replace(LINKED, tracker="magic"), Settings(model="gone.pt")):
        with pytest.raises(InputError, match=r"magic|gone\.pt"):
            VideoProcessor(settings, output)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="Parquet files need pyarrow"):
        VideoProcessor(replace(LINKED, formats=("json", "parquet")), output)
