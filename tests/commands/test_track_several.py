"""``maskprop track`` with several videos."""

import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskprop_d2.commands import track
from maskprop_d2.commands.track import default_outputs, id_mask_folders, main
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter

TINY = ["--model", "maskprop_tiny"]


def images(length, seed=0, size=(48, 64)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (length, *size, 3), dtype=np.uint8)


def write_video(path, length, **options):
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, 10) as writer:
        for frame in images(length, **options):
            writer.write(frame)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a video of five frames, one of two, and a folder of three images."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", 5)
    write_video(tmp_path / "b.mp4", 2, seed=1, size=(64, 48))
    (tmp_path / "c").mkdir()
    for t, image in enumerate(images(3, seed=2)):
        Image.fromarray(image).save(tmp_path / f"c/{t}.png")
    return tmp_path


def status(*arguments):
    """Run the command; returns its exit status."""
    try:
        main([*arguments, *TINY])
    except SystemExit as end:
        return end.code
    return 0


def length(name):
    return len(list(VideoFile(name)))


def names(folder):
    return sorted(x.name for x in folder.iterdir())


def test_each_video_has_its_own_outputs_as_if_alone(folder, capsys):
    options = ["--confidence-threshold", "0.02", "--trails"]
    for name in ("a.mp4", "b.mp4", "c"):
        main([name, *TINY, *options])
    expected = {x.name: x.read_bytes() for x in folder.glob("*_tracks.*")}
    assert any(json.loads(x) for name, x in expected.items() if name.endswith(".json"))
    capsys.readouterr()
    main(["a.mp4", "b.mp4", "c", "--output", "out", "--id-masks", "ids", *TINY, *options])
    assert {x.name: x.read_bytes() for x in (folder / "out").iterdir()} == expected
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4].startswith("10 frames in ")
    assert lines[-2] == ("b.mp4: 2 frames, wrote out/b_tracks.mp4, out/b_tracks.json, ids/b_tracks")
    assert names(folder / "ids/c_tracks") == ["0.png", "1.png", "2.png"]


def test_broken_videos_end_alone(folder, capsys):
    (folder / "c/1.png").write_bytes(b"no image")
    write_video(folder / "d.mp4", 12, size=(96, 128))
    data = (folder / "d.mp4").read_bytes()
    (folder / "d.mp4").write_bytes(data[: len(data) // 2])
    assert status("a.mp4", "c", "d.mp4", "--output", "out") == 1
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert len(errors) == 2
    start = "error: c could not be read to its end (frames kept: 1): "
    assert errors[0].startswith(start) and "1.png" in errors[0]
    assert errors[1].startswith("error: d.mp4 could not be read") and "damaged" in errors[1]
    assert [length(f"out/{x}_tracks.mp4") for x in "ac"] == [5, 1]
    kept = length("out/d_tracks.mp4")
    assert 1 < kept < 12 and f"(frames kept: {kept})" in errors[1]
    assert len(names(folder / "out")) == 6


def test_a_video_that_breaks_at_once_has_no_output(folder, capsys):
    (folder / "c/0.png").write_bytes(b"no image")
    assert status("c", "b.mp4", "--output", "out") == 1
    assert "c: 0 frames, no output" in capsys.readouterr().out
    assert names(folder / "out") == ["b_tracks.json", "b_tracks.mp4"]


class EndlessVideo(VideoFile):
    """Its frames again and again. Sends this process Ctrl-C when others have had time to end."""

    def __iter__(self):
        frames = list(super().__iter__())
        yield from frames * 4
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.5)
        while True:
            yield from frames


def test_ctrl_c_finishes_all_outputs(folder, monkeypatch, capsys):
    monkeypatch.setattr(
        track, "open_video", lambda name, _: (EndlessVideo if name == "a.mp4" else VideoFile)(name)
    )
    assert status("a.mp4", "b.mp4", "--output", "out") == 128 + signal.SIGINT
    assert "Interrupted: the finished frames are kept." in capsys.readouterr().err
    assert length("out/a_tracks.mp4") > 5 and length("out/b_tracks.mp4") == 2
    assert len(names(folder / "out")) == 4


def test_outputs_are_complete_as_soon_as_their_video_ends(folder, monkeypatch):
    class Watching(VideoFile):
        def __iter__(self):
            yield from [x for x in super().__iter__() for _ in range(6)]
            self.seen = names(folder)

    long = Watching("a.mp4")
    monkeypatch.setattr(
        track, "open_video", lambda name, _: long if name == "a.mp4" else VideoFile(name)
    )
    (folder / "b_tracks.mp4").touch()
    assert status("a.mp4", "b.mp4") == 0
    assert {"b_tracks_2.mp4", "b_tracks_2.json"} < set(long.seen)
    assert "a_tracks.mp4" not in long.seen and length("a_tracks.mp4") == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mp4", "gone.mp4"], "there is no video, folder or camera 'gone.mp4'"),
        (["a.mp4", "b.mp4", "--output", "x.mp4"], "--output x.mp4: for several videos, name a f"),
        (["a.mp4", "b.mp4", "--output", "file"], "--output file is a file: name a folder"),
        (["a.mp4", "c", "--output", "c"], "--output c would overwrite the input"),
        (["a.mp4", "b.mp4", "--id-masks", "file"], "--id-masks file is a file: name a folder"),
        (["a.mp4", "file"], "file cannot be opened as a video"),
    ],
)
def test_bad_input(arguments, message, folder, capsys):
    (folder / "file").write_text("no video")
    write_video(folder / "e/a.mp4", 1)
    before = names(folder)
    assert status(*arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert names(folder) == before


def test_cameras_are_named_by_their_address_where_its_end_is_not_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "yard.mp4", 1)
    videos = [
        "rtsp://me:secret@10.0.0.2:554/live",
        "rtsp://nvr/ch1/live?channel=1",
        "rtsp://nvr/ch1/live?channel=2",
        "0",
        "http://h/x.mp4?a=1",
        *("http://10.0.0.2:8081/", "http://10.0.0.2:8082/"),
        *("rtsp://10.0.0.2/yard", "yard.mp4", "./yard.mp4"),
    ]
    assert [x.name.removesuffix("_tracks.mp4") for x in default_outputs(videos, None)] == [
        *("10.0.0.2_554_live", "nvr_ch1_live_channel_1", "nvr_ch1_live_channel_2"),
        *("camera_0", "x", "10.0.0.2_8081", "10.0.0.2_8082"),
        *("10.0.0.2_yard", "yard", "yard_tracks_2.mp4"),
    ]


def test_videos_of_one_name_have_folders_of_their_own():
    outputs = [Path("x/a_tracks.mp4"), Path("y/a_tracks.mp4"), Path("z/a_tracks_2.mp4")]
    folders = id_mask_folders(Path("ids"), outputs)
    assert [x.name for x in folders] == ["a_tracks", "a_tracks_2", "a_tracks_2_2"]
