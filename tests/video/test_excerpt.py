"""Reading parts of videos."""

from fractions import Fraction
from pathlib import Path

import pytest
from drawn_videos import number_frames, read_number, write_numbers

from maskprop_d2.errors import VideoError
from maskprop_d2.video import FrameFiles, VideoFile, video_file
from maskprop_d2.video.excerpt import Excerpt
from maskprop_d2.video.writing import VideoWriter

EXCERPTS = [
    (Excerpt(), range(80)),
    (Excerpt(start=1), range(20, 80)),
    (Excerpt(start=2.33, duration=0.5), range(47, 57)),
    (Excerpt(duration=1, stride=5), range(0, 20, 5)),
    (Excerpt(start=0.75, duration=1, stride=3), range(15, 35, 3)),
    (Excerpt(start=3.92, duration=9), range(78, 80)),
]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mp4", "libx264"), ("v.mkv", "libx264"), ("v.ts", "libx264"), ("v.avi", "mpeg4")],
)
def test_excerpts_of_a_video(tmp_path, name, codec, caplog):
    path = write_numbers(tmp_path / name, codec, b="800k")
    for excerpt, expected in EXCERPTS:
        source = VideoFile(path, excerpt)
        assert source.fps == Fraction(20, excerpt.stride)
        assert source.num_frames == len(expected)
        assert source.first_index == expected.start
        for _ in range(2):
            assert [read_number(frame) for frame in source] == list(expected)
    assert not caplog.records
    with pytest.raises(VideoError, match=r"no frame of .* can be read \(it has none after 9 s\)"):
        VideoFile(path, Excerpt(start=9))


def test_frames_before_and_after_an_excerpt_are_not_decoded(tmp_path, monkeypatch):
    decoded = []

    def decode(*args):
        for frame in video_decode(*args):
            decoded.append(frame)
            yield frame

    video_decode = video_file._decode
    source = VideoFile(write_numbers(tmp_path / "v.mp4"), Excerpt(start=3.1, duration=0.2))
    monkeypatch.setattr(video_file, "_decode", decode)
    assert [read_number(frame) for frame in source] == [62, 63, 64, 65]
    # From the key frame before, frame 60.
    assert len(decoded) == 7


def test_without_an_index_the_excerpt_is_found_by_decoding(tmp_path):
    # A raw stream has no timestamps; FFmpeg assumes 25 frames/s.
    path = write_numbers(tmp_path / "v.h264")
    source = VideoFile(path, Excerpt(start=1, duration=0.4, stride=2))
    assert source.num_frames is None
    assert [read_number(frame) for frame in source] == [25, 27, 29, 31, 33]
    assert source.first_index == 25


def test_the_first_index_at_a_variable_frame_rate(tmp_path):
    # Every second frame lasts three times as long as the others.
    timestamps = [2 * t - t % 2 for t in range(80)]
    with VideoWriter(tmp_path / "v.mp4", 20) as writer:
        for frame, timestamp in zip(number_frames(), timestamps, strict=True):
            writer.write(frame, timestamp)
    for start in (0, 0.9, 1, 4.05):
        source = VideoFile(tmp_path / "v.mp4", Excerpt(start=start))
        assert read_number(next(iter(source))) == source.first_index
    assert source.first_index > 20


def test_excerpts_of_images(tmp_path):
    names = [f"{i}.png" for i in range(25)]
    for excerpt, expected in [
        (Excerpt(), names),
        (Excerpt(start=1, duration=1, stride=4), ["10.png", "14.png", "18.png"]),
        (Excerpt(start=2.4), ["24.png"]),
    ]:
        source = FrameFiles(names, fps=10, excerpt=excerpt)
        assert source.paths == expected and source.num_frames == len(expected)
        assert source.names == [Path(name).stem for name in expected]
        assert names[source.first_index] == expected[0]
        assert source.fps == Fraction(10, excerpt.stride)
    message = r"no frame after 3 s: 25 images at 10 frames/s last for 2\.5 s"
    with pytest.raises(VideoError, match=message):
        FrameFiles(names, excerpt=Excerpt(start=3))
    assert FrameFiles(["a/1.png", "b/1.png"]).names == ["00000", "00001"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-1, None, 1), "start must be 0 seconds or more, not -1"),
        ((float("nan"), None, 1), "start must be"),
        ((0, 0, 1), "duration must be more than 0 seconds, not 0"),
        ((0, float("inf"), 1), "duration must be"),
        ((0, None, 0), "stride must be 1 frame or more, not 0"),
    ],
)
def test_invalid_excerpts(values, message):
    with pytest.raises(ValueError, match=message):
        Excerpt(*values)
