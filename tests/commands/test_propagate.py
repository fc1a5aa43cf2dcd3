"""``maskprop propagate``"""

import numpy as np
import pytest
from PIL import Image

from maskprop_d2.commands import propagate
from maskprop_d2.commands.propagate import main
from maskprop_d2.video import VideoFile
from maskprop_d2.video.drawing import track_color
from maskprop_d2.video.id_masks import read_id_mask
from maskprop_d2.video.writing import VideoWriter

SIZE = 64, 96
LENGTH = 9


def objects(t):
    """Ids of two textured squares: 7 moves, 300 does not."""
    ids = np.zeros(SIZE, np.uint16)
    ids[36:60, 60:84] = 300
    ids[6:30, 4 + 3 * t : 28 + 3 * t] = 7
    return ids


@pytest.fixture
def video(tmp_path, monkeypatch):
    """``v.mp4``, the same in ``frames``, and the ids of frame 4 in ``f04.png`` and ``00004.png``,
    in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    textures = np.random.default_rng(0).integers(0, 256, (2, 24 * 24, 3), np.uint8)
    with VideoWriter("v.mp4", 10) as writer:
        for t in range(LENGTH):
            frame = np.full((*SIZE, 3), 90, np.uint8)
            frame[objects(t) == 300], frame[objects(t) == 7] = textures
            writer.write(frame)
            Image.fromarray(frame).save(f"frames/f{t:02d}.png")
    for name in ("f04", "00004"):
        Image.fromarray(objects(4)).save(f"{name}.png")
    return tmp_path


def check(folder, pattern, values=(7, 300)):
    for t in range(LENGTH):
        ids = read_id_mask(folder / pattern.format(t))
        assert set(np.unique(ids)) <= {0, *values}
        for value, expected in zip(values, (7, 300), strict=True):
            a, b = ids == value, objects(t) == expected
            assert (a & b).sum() > 0.6 * (a | b).sum(), (t, value)
    assert len(list(folder.iterdir())) == LENGTH


@pytest.mark.parametrize("chunk", [2**28, 3 * 64 * 96 * 2])
def test_a_video_file_in_both_directions(chunk, video, monkeypatch, capsys):
    monkeypatch.setattr(propagate, "CHUNK_BYTES", chunk)
    source = ["--masks", "00004.png", "--video-input", "v.mp4"]
    main([*source, "--output", "out", "--drawn", "drawn.mp4"])
    assert "9 frames; wrote out, drawn.mp4" in capsys.readouterr().out
    check(video / "out", "{:05d}.png")
    assert np.array_equal(read_id_mask(video / "out/00004.png"), objects(4))
    drawn = list(VideoFile(video / "drawn.mp4"))
    assert len(drawn) == LENGTH
    color = drawn[2][40:56, 64:80].mean((0, 1)) - 90
    assert np.dot(color, np.array(track_color(299)) - 128.0) > 0


def test_images_have_masks_of_their_names(video):
    # White on black; and at half the size.
    Image.fromarray((objects(4) == 7)[::2, ::2]).save("f04.png")
    main(["--masks", "f04.png", "--input", "frames", "--output", "out"])
    for t in range(LENGTH):
        image = Image.open(f"out/f{t:02d}.png")
        assert image.mode == "P"
        a, b = np.asarray(image) == 1, objects(t) == 7
        assert (a & b).sum() > 0.6 * (a | b).sum()
    assert np.asarray(image.convert("RGB"))[20, 40].tolist() == list(track_color(0))


def test_the_source_frame_may_be_given(video):
    Image.fromarray(objects(8)).save("mine.png")
    main(["--masks", "mine.png", "--source", "8", "--input", "frames", "--output", "out"])
    check(video / "out", "f{:02d}.png")
    Image.fromarray(objects(0)).save("mine.png")
    main(["--masks", "mine.png", "--video-input", "v.mp4", "--output", "o"])
    check(video / "o", "{:05d}.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--masks", "gone.png"], "gone.png is missing"),
        (["--masks", "frames/f00.png"], "frames/f00.png has colours (RGB) instead of ids"),
        (["--masks", "empty.png"], "empty.png has no object: all pixels are 0"),
        (["--masks", "long.png"], "long.png: masks of 90 x 9 pixels do not fit a frame of 96 x 64"),
        (["--source", "99"], "no frame 99"),
        (["--source", "99", "--input", "frames"], "no frame 99: the input has 9 images"),
        (["--source", "-1"], "argument --source: must be at least 0, not -1"),
        (["--output", "o.mp4"], "is a folder for PNGs: for a video use --drawn"),
        (["--output", "empty.png"], "--output empty.png is a file: name a folder"),
        (["--output", "frames", "--input", "frames"], "would overwrite the input"),
        (["--drawn", "v.mp4"], "--drawn v.mp4 would overwrite the input"),
        (["--drawn", "v.gif"], "--drawn v.gif must be a video: .avi"),
    ],
)
def test_bad_input_gives_one_line(options, message, video, capsys):
    Image.fromarray(np.zeros(SIZE, np.uint8)).save("empty.png")
    Image.fromarray(np.ones((9, 90), np.uint8)).save("long.png")
    source = [] if "--input" in options else ["--video-input", "v.mp4"]
    before = {x.name for x in video.rglob("*")}
    with pytest.raises(SystemExit) as end:
        main(["--masks", "00004.png", "--output", "out", *source, *options])
    error = capsys.readouterr().err
    assert end.value.code == 2
    (line,) = [x for x in error.splitlines() if "error: " in x]
    assert message in line
    assert {x.name for x in video.rglob("*")} == before
