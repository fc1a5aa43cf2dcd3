import logging
import threading
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest

from maskprop_d2.inference.video import (
    FrameFiles,
    VideoError,
    VideoFile,
    _upright,
    find_frames,
    prefetch,
)
from maskprop_d2.inference.writer import FrameFolderWriter, VideoWriter


def draw_frames(count=12, height=48, width=64):
    """A bright column that moves over a grey ramp."""
    frames = []
    for t in range(count):
        frame = np.full((height, width, 3), 60, np.uint8)
        frame[:, :, 1] = np.linspace(40, 160, width).astype(np.uint8)
        frame[:, 3 * t : 3 * t + 9] = (220, 40, 30)
        frames.append(frame)
    return frames


def write_video(path, frames, fps=Fraction(30000, 1001)):
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), 12.5, 10])
def test_a_video_is_read_back_as_it_was_written(tmp_path, fps):
    frames = draw_frames()
    video = VideoFile(write_video(tmp_path / "v.mp4", frames, fps))
    assert video.fps == Fraction(fps).limit_denominator(1001)
    assert video.num_frames == len(frames)
    for _ in range(2):
        read = list(video)
        assert len(read) == len(frames)
        assert np.abs(np.array(read).astype(int) - np.array(frames)).mean() < 6


def test_odd_sizes_are_padded(tmp_path):
    frames = draw_frames(3, 33, 57)
    read = list(VideoFile(write_video(tmp_path / "v.mp4", frames)))
    assert read[0].shape == (34, 58, 3)
    assert np.abs(read[0][:33, :57].astype(int) - frames[0]).mean() < 6


def test_a_truncated_video_gives_the_frames_that_are_there_and_a_warning(tmp_path, caplog):
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "v.mp4", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        read = list(VideoFile(path))
    assert 0 < len(read) < 40
    assert len(caplog.records) == 1
    assert f"going on with the {len(read)} frames" in caplog.text


def test_what_is_not_a_video_is_refused(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"not a video" * 100)
    with pytest.raises(VideoError, match=r"v\.mp4 cannot be opened as a video"):
        VideoFile(path)
    with pytest.raises(VideoError, match=r"gone\.mp4 cannot be opened"):
        VideoFile(tmp_path / "gone.mp4")


def test_rotation_is_undone_counter_clockwise():
    frame = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(_upright(frame, 0), frame)
    assert np.array_equal(_upright(frame, -90), np.rot90(frame, 3))
    assert np.array_equal(_upright(frame, 180), frame[::-1, ::-1])


@pytest.mark.parametrize("kind", ["grey", "alpha", "16 bits"])
def test_images_of_every_kind_become_rgb(tmp_path, kind):
    frame = draw_frames(1)[0]
    image = {
        "grey": frame[:, :, 0],
        "alpha": np.dstack([frame[:, :, ::-1], np.full(frame.shape[:2], 9, np.uint8)]),
        "16 bits": frame[:, :, ::-1].astype(np.uint16) * 257,
    }[kind]
    path = tmp_path / "f.png"
    cv2.imwrite(str(path), image)
    (read,) = FrameFiles([path])
    expected = np.repeat(frame[:, :, :1], 3, 2) if kind == "grey" else frame
    assert read.dtype == np.uint8
    assert np.array_equal(read, expected)


def test_missing_broken_and_differing_frames_are_named(tmp_path):
    small, large = tmp_path / "1.png", tmp_path / "2.png"
    cv2.imwrite(str(small), draw_frames(1)[0])
    cv2.imwrite(str(large), draw_frames(1, 50, 64)[0])
    with pytest.raises(VideoError, match=r"frame .*2\.png has 64 x 50 pixels"):
        list(FrameFiles([small, large]))
    with pytest.raises(VideoError, match=r"frame .*3\.png is missing"):
        list(FrameFiles([small, tmp_path / "3.png"]))
    large.write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"frame .*2\.png is not an image"):
        list(FrameFiles([small, large]))


def test_frames_are_found_and_sorted_naturally(tmp_path):
    with FrameFolderWriter(tmp_path / "out") as writer:
        writer.write(draw_frames(1)[0])
    for name in ("frame10.jpg", "frame9.jpg", "frame1.jpg", "notes.txt"):
        (tmp_path / "out" / "00000.jpg").rename(tmp_path / name) if name == "frame10.jpg" else (
            tmp_path / name
        ).write_bytes((tmp_path / "frame10.jpg").read_bytes())
    expected = [str(tmp_path / f"frame{i}.jpg") for i in (1, 9, 10)]
    assert find_frames([str(tmp_path)]) == expected
    assert find_frames([str(tmp_path / "frame*.jpg")]) == expected
    assert find_frames([expected[2], expected[0]]) == [expected[0], expected[2]]
    with pytest.raises(VideoError, match="there is no image at"):
        find_frames([str(tmp_path / "*.gif")])


def test_prefetch_keeps_order_and_reads_at_most_so_far_ahead():
    read = []

    def source():
        for i in range(20):
            read.append(i)
            yield i

    with prefetch(source(), 3) as ahead:
        assert next(ahead) == 0
        time.sleep(0.3)
        # One given, three waiting, and one in the reader's hand.
        assert len(read) <= 5
        assert list(ahead) == list(range(1, 20))


def test_prefetch_passes_errors_on_in_their_place():
    def source():
        yield 1
        raise VideoError("broken")

    with prefetch(source(), 3) as ahead:
        assert next(ahead) == 1
        with pytest.raises(VideoError, match="broken"):
            next(ahead)


def test_prefetch_ends_its_thread_when_the_reader_stops_early():
    before = threading.active_count()
    with prefetch(iter(range(1000)), 3) as ahead:
        next(ahead)
    assert threading.active_count() == before


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt, 5), (RuntimeError, 0)])
def test_what_an_interrupted_writer_leaves(tmp_path, error, kept):
    path = tmp_path / "v.mp4"
    with pytest.raises(error), VideoWriter(path, 10) as writer:
        for frame in draw_frames(5):
            writer.write(frame)
        raise error
    assert [p.name for p in tmp_path.iterdir()] == (["v.mp4"] if kept else [])
    if kept:
        assert len(list(VideoFile(path))) == kept
