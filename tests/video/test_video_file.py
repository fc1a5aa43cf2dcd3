import gc
import logging
import multiprocessing
import struct
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from drawn_videos import draw_frames, draw_noise, patch, write_video

from maskprop_d2.errors import VideoError
from maskprop_d2.video import video_file
from maskprop_d2.video.excerpt import Excerpt
from maskprop_d2.video.video_file import VideoFile
from maskprop_d2.video.writing import VideoWriter


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), 12.5, 10])
def test_a_written_video_is_read_back(tmp_path, fps, caplog):
    frames = draw_frames()
    source = VideoFile(write_video(tmp_path / "v.mp4", frames, fps))
    assert source.fps == Fraction(fps).limit_denominator(1001)
    assert source.num_frames == len(frames)
    assert source.frame_size == (48, 64)
    for _ in range(2):
        read = list(source)
        assert len(read) == len(frames)
        assert np.abs(np.array(read).astype(int) - np.array(frames)).mean() < 6
    assert not caplog.records


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov", ".MP4"])
def test_other_formats(tmp_path, suffix, caplog):
    source = VideoFile(write_video(tmp_path / f"v{suffix}", draw_frames()))
    assert len(list(source)) == 12
    assert source.fps == Fraction(30000, 1001)
    assert not caplog.records


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.5, 15, 25), (0.99, 39, 40)])
def test_a_truncated_video_gives_its_remaining_frames_and_a_warning(
    tmp_path, caplog, share, fewest, most
):
    path = write_video(tmp_path / "v.mp4", draw_noise())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    read = list(VideoFile(path))
    assert fewest <= len(read) <= most
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert f"v.mp4 is truncated or damaged: using the {len(read)} frames" in caplog.text


def test_damage_costs_only_a_few_frames(tmp_path, caplog):
    path = write_video(tmp_path / "v.mp4", draw_noise())
    data = bytearray(path.read_bytes())
    middle, share = len(data) // 2, len(data) // 40
    data[middle : middle + share] = bytes(share)
    path.write_bytes(data)
    assert 35 <= len(list(VideoFile(path))) < 40
    assert len(caplog.records) == 1


def test_a_trimmed_video_is_not_reported_as_truncated(tmp_path, caplog):
    path = write_video(tmp_path / "v.mp4", draw_frames(40), 10)
    # Editors keep all frames and store the duration to play, here half of 4000 ms.
    assert patch(path, b"elst", 8, ">I", 2000) == (4000,)
    source = VideoFile(path)
    assert source.num_frames == 20
    assert len(list(source)) == 20
    assert not caplog.records


@pytest.mark.parametrize(("turns", "cosine", "sine"), [(1, 0, 1), (2, -1, 0), (3, 0, -1)])
def test_a_rotated_video_is_turned_upright(tmp_path, turns, cosine, sine):
    frames = draw_frames()
    path = write_video(tmp_path / "v.mp4", frames)
    # Phones store a display matrix, here a clockwise rotation by turns * 90 degrees.
    one, last = 1 << 16, 1 << 30
    identity = (one, 0, 0, 0, one, 0, 0, 0, last)
    matrix = (cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, last)
    assert patch(path, b"tkhd", 40, ">9i", *matrix) == identity
    source = VideoFile(path, Excerpt(start=0.1, stride=2))
    turned = np.rot90(frames, -turns, axes=(1, 2))[3::2]
    assert source.frame_size == turned[0].shape[:2]
    read = list(source)
    assert read[0].flags.c_contiguous
    assert np.abs(np.array(read).astype(int) - turned).mean() < 6


def test_files_that_are_not_videos_are_rejected(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"not a video" * 100)
    with pytest.raises(VideoError, match=r"v\.mp4 cannot be opened as a video: Invalid data"):
        VideoFile(path)
    with pytest.raises(VideoError, match=r"gone\.mp4 cannot be opened as a video: No such file"):
        VideoFile(tmp_path / "gone.mp4")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1000))
    with pytest.raises(VideoError, match=r"sound\.wav has no video stream"):
        VideoFile(tmp_path / "sound.wav")


def test_a_video_truncated_before_its_first_frame_is_rejected(tmp_path):
    path = write_video(tmp_path / "v.mp4", draw_noise())
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 100])
    with pytest.raises(VideoError, match=r"no frame of .*v\.mp4 can be read"):
        VideoFile(path)


def test_huge_frames_are_not_decoded(tmp_path, monkeypatch):
    with VideoWriter(tmp_path / "v.mp4", 5) as writer:
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    # The header has a smaller size than the frames.
    data = (tmp_path / "v.mp4").read_bytes()
    size = struct.pack(">HH", 64, 48)
    assert data.count(size) == 1
    (tmp_path / "lies.mp4").write_bytes(data.replace(size, struct.pack(">HH", 8, 8)))
    monkeypatch.setattr(video_file, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match=r"has frames of 64 x 48 pixels; the limit is 3071 pixels"):
        VideoFile(tmp_path / "v.mp4")
    with pytest.raises(VideoError, match=r"lies\.mp4"):
        VideoFile(tmp_path / "lies.mp4")
    monkeypatch.setattr(video_file, "MAX_PIXELS", 64 * 48)
    assert len(list(VideoFile(tmp_path / "lies.mp4"))) == 3


def test_metadata_that_is_not_utf8_is_accepted(tmp_path):
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        stream = container.add_stream("mpeg4", 5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.metadata["title"] = "Caf_"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    data = (tmp_path / "v.avi").read_bytes()
    assert data.count(b"Caf_") == 1
    (tmp_path / "v.avi").write_bytes(data.replace(b"Caf_", "Café".encode("latin1")))
    assert len(list(VideoFile(tmp_path / "v.avi"))) == 1


def test_videos_are_read_and_written_in_forked_processes(tmp_path):
    """Threads that PyAV had started before would be missing."""

    def copy(name):
        with VideoWriter(tmp_path / name, 10) as writer:
            for frame in VideoFile(tmp_path / "in.mp4"):
                writer.write(frame)

    # Large enough to be converted by several threads.
    write_video(tmp_path / "in.mp4", draw_frames(3, 240, 432), 10)
    copy("here.mp4")
    # The child would wait for the threads of decoders that were not collected here.
    gc.collect()
    process = multiprocessing.get_context("fork").Process(target=copy, args=["there.mp4"])
    process.start()
    process.join(60)
    process.kill()
    assert (tmp_path / "there.mp4").read_bytes() == (tmp_path / "here.mp4").read_bytes()
