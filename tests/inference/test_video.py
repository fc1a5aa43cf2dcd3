import logging
import struct
import threading
import time
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from maskprop_d2.inference import video
from maskprop_d2.inference.excerpt import Excerpt
from maskprop_d2.inference.video import (
    FrameFiles,
    VideoError,
    VideoFile,
    find_frames,
    natural_sort,
    prefetch,
)
from maskprop_d2.inference.writer import FrameFolderWriter, VideoWriter


def draw_frames(count=12, height=48, width=64):
    """A bright column that moves over a ramp."""
    frames = []
    for t in range(count):
        frame = np.full((height, width, 3), 60, np.uint8)
        frame[:, :, 1] = np.linspace(40, 160, width).astype(np.uint8)
        frame[:, 3 * t : 3 * t + 9] = (220, 40, 30)
        frames.append(frame)
    return frames


def draw_noise(count=40):
    """Frames that cannot be compressed, so that each has its share of the file."""
    return np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), dtype=np.uint8)


def write_video(path, frames, fps=Fraction(30000, 1001)):
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def patch(path, tag, offset, layout, *values):
    """Overwrite values after the name of a box of an MP4 file; gives what was there."""
    data = bytearray(path.read_bytes())
    start = data.index(tag) + 4 + offset
    old = struct.unpack_from(layout, data, start)
    struct.pack_into(layout, data, start, *values)
    path.write_bytes(data)
    return old


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), 12.5, 10])
def test_a_video_is_read_back_as_it_was_written(tmp_path, fps, caplog):
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


@pytest.mark.parametrize("size", [(48, 64), (720, 1280)])
@pytest.mark.parametrize("color", [(200, 100, 50), (20, 230, 10)])
def test_colours_are_kept_and_the_file_says_how_they_are_coded(tmp_path, size, color):
    path = write_video(tmp_path / "v.mp4", [np.full((*size, 3), color, np.uint8)])
    assert np.abs(next(iter(VideoFile(path))).astype(int) - color).max() <= 3
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    bt709, limited_range = 1, 1
    assert (frame.colorspace, frame.color_range) == (bt709, limited_range)
    assert frame.format.name == "yuv420p"


def test_the_index_stands_before_the_frames(tmp_path):
    data = write_video(tmp_path / "v.mp4", draw_frames()).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sizes_are_padded(tmp_path):
    frames = draw_frames(3, 33, 57)
    read = list(VideoFile(write_video(tmp_path / "v.mp4", frames)))
    assert read[0].shape == (34, 58, 3)
    # By more of the same, not by a black line.
    padded = np.pad(frames, ((0, 0), (0, 1), (0, 1), (0, 0)), "edge")
    assert np.abs(np.array(read).astype(int) - padded).mean() < 6
    assert np.abs(read[0][-1].astype(int) - padded[0][-1]).mean() < 8


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.5, 15, 25), (0.99, 39, 40)])
def test_a_truncated_video_gives_the_frames_that_are_there_and_a_warning(
    tmp_path, caplog, share, fewest, most
):
    path = write_video(tmp_path / "v.mp4", draw_noise())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    read = list(VideoFile(path))
    assert fewest <= len(read) <= most
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert f"v.mp4 is cut off or damaged: going on with the {len(read)} frames" in caplog.text


def test_a_damaged_place_costs_a_few_frames_only(tmp_path, caplog):
    path = write_video(tmp_path / "v.mp4", draw_noise())
    data = bytearray(path.read_bytes())
    middle, share = len(data) // 2, len(data) // 40
    data[middle : middle + share] = bytes(share)
    path.write_bytes(data)
    assert 35 <= len(list(VideoFile(path))) < 40
    assert len(caplog.records) == 1


def test_a_trimmed_video_is_not_taken_for_a_truncated_one(tmp_path, caplog):
    path = write_video(tmp_path / "v.mp4", draw_frames(40), 10)
    # Editors leave the frames in the file and say how long to play: here half of 4000 ms.
    assert patch(path, b"elst", 8, ">I", 2000) == (4000,)
    source = VideoFile(path)
    assert source.num_frames == 20
    assert len(list(source)) == 20
    assert not caplog.records


@pytest.mark.parametrize(("turns", "cosine", "sine"), [(1, 0, 1), (2, -1, 0), (3, 0, -1)])
def test_a_rotated_video_comes_upright(tmp_path, turns, cosine, sine):
    frames = draw_frames()
    path = write_video(tmp_path / "v.mp4", frames)
    # As phones store it, to be turned clockwise by so many times 90 degrees: the display matrix.
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


def number_frames(count=80):
    """Frames that show their number in seven bits, as bars."""
    t = np.arange(count)
    bits = np.repeat(t[:, None] >> np.arange(8) & 1, 8, axis=1).astype(np.uint8)
    return np.broadcast_to(30 + 200 * bits[:, None, :, None], (count, 48, 64, 3)).copy()


def read_number(frame):
    bits = frame[:, :, 0].reshape(48, 8, 8)[:, :, 2:6].mean(axis=(0, 2)) > 130
    return int((bits << np.arange(8)).sum())


def write_numbers(path, codec="libx264", count=80, **options):
    """At 20 frames/s, with a frame that can be decoded on its own every 15."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 20, {"g": "15", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in number_frames(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


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
def test_a_part_of_a_video(tmp_path, name, codec, caplog):
    path = write_numbers(tmp_path / name, codec, b="800k")
    for excerpt, expected in EXCERPTS:
        source = VideoFile(path, excerpt)
        assert source.fps == Fraction(20, excerpt.stride)
        assert source.num_frames == len(expected)
        for _ in range(2):
            assert [read_number(frame) for frame in source] == list(expected)
    assert not caplog.records
    with pytest.raises(VideoError, match=r"no frame of .* can be read \(it has none from 9 s on\)"):
        VideoFile(path, Excerpt(start=9))


def test_what_lies_before_and_after_a_part_is_not_decoded(tmp_path, monkeypatch):
    decoded = []

    def decode(*args):
        for frame in video_decode(*args):
            decoded.append(frame)
            yield frame

    video_decode = video._decode
    source = VideoFile(write_numbers(tmp_path / "v.mp4"), Excerpt(start=3.1, duration=0.2))
    monkeypatch.setattr(video, "_decode", decode)
    assert [read_number(frame) for frame in source] == [62, 63, 64, 65]
    # The key frame before is the 60th.
    assert len(decoded) == 7


def test_where_one_cannot_seek_a_part_is_found_by_decoding(tmp_path):
    # No container, so no times either: FFmpeg takes 25 frames/s for granted.
    path = write_numbers(tmp_path / "v.h264")
    source = VideoFile(path, Excerpt(start=1, duration=0.4, stride=2))
    assert source.num_frames is None
    assert [read_number(frame) for frame in source] == [25, 27, 29, 31, 33]


def test_a_part_of_images(tmp_path):
    names = [f"{i}.png" for i in range(25)]
    for excerpt, expected in [
        (Excerpt(), names),
        (Excerpt(start=1, duration=1, stride=4), ["10.png", "14.png", "18.png"]),
        (Excerpt(start=2.4), ["24.png"]),
    ]:
        source = FrameFiles(names, fps=10, excerpt=excerpt)
        assert source.paths == expected and source.num_frames == len(expected)
        assert source.names == [Path(name).stem for name in expected]
        assert source.fps == Fraction(10, excerpt.stride)
    message = r"no frame from 3 s on: 25 images last for 2\.5 s at 10 frames/s"
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
def test_parts_that_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        Excerpt(*values)


def test_what_is_not_a_video_is_refused(tmp_path):
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


def test_a_video_cut_off_before_its_first_frame_is_refused(tmp_path):
    path = write_video(tmp_path / "v.mp4", draw_noise())
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 100])
    with pytest.raises(VideoError, match=r"no frame of .*v\.mp4 can be read"):
        VideoFile(path)


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
    expected = [str(tmp_path / f"frame{i}.png") for i in (1, 9, 10)]
    for path in expected:
        cv2.imwrite(path, draw_frames(1)[0])
    (tmp_path / "notes.txt").write_text("no image")
    assert find_frames([str(tmp_path)]) == expected
    assert find_frames([str(tmp_path / "frame*.png")]) == expected
    assert find_frames([expected[2], expected[0], expected[2]]) == [expected[0], expected[2]]
    with pytest.raises(VideoError, match=r"there is no image at .*\*\.gif"):
        find_frames([str(tmp_path), str(tmp_path / "*.gif")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match=r"there is no image at .*empty"):
        find_frames([str(tmp_path / "empty")])


def test_natural_sort_of_odd_names():
    names = ["b", "a10", "10", "a2b", "a02b", "a2", "9", "a²"]
    for given in (names, names[::-1]):
        assert natural_sort(given) == ["9", "10", "a2", "a02b", "a2b", "a10", "a²", "b"]


def test_frames_may_be_shown_longer(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        for frame, place in zip(number_frames(4), (0, 3, 2, 9), strict=True):
            writer.write(frame, place)
    with av.open(str(tmp_path / "v.mp4")) as container:
        frames = list(container.decode(video=0))
    # No two at once.
    assert [round(frame.time * 10) for frame in frames] == [0, 3, 4, 9]


def test_folders_are_made_with_the_first_frame(tmp_path):
    with VideoWriter(tmp_path / "a/v.mp4", 10), FrameFolderWriter(tmp_path / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
    with (
        VideoWriter(tmp_path / "a/v.mp4", 10) as writer,
        FrameFolderWriter(tmp_path / "b") as images,
    ):
        writer.write(draw_frames(1)[0])
        images.write(draw_frames(1)[0])
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_is_written_and_read_back(tmp_path):
    frames = draw_frames(11)
    with FrameFolderWriter(tmp_path / "out", ".png") as writer:
        for frame in frames:
            writer.write(frame)
    assert np.array_equal(list(FrameFiles(find_frames([str(tmp_path / "out")]))), frames)
    with FrameFolderWriter(tmp_path / "jpg") as writer:
        writer.write(frames[0])
    assert [p.name for p in (tmp_path / "jpg").iterdir()] == ["00000.jpg"]


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
        assert 4 <= len(read) <= 5
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
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt, 5), (RuntimeError, 0)])
def test_what_an_interrupted_writer_leaves(tmp_path, error, kept):
    path = tmp_path / "v.mp4"
    with pytest.raises(error), VideoWriter(path, 10) as writer:
        for frame in draw_frames(5):
            writer.write(frame)
        assert not path.exists()
        raise error
    assert [p.name for p in tmp_path.iterdir()] == (["v.mp4"] if kept else [])
    if kept:
        assert len(list(VideoFile(path))) == kept


def test_what_a_writer_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write .*v\.gif.* must end in one of \.avi, "):
        VideoWriter(tmp_path / "v.gif", 10)
    small, large = draw_frames(1)[0], draw_frames(1, 50, 64)[0]
    with (
        pytest.raises(ValueError, match="a frame of 64 x 50 pixels cannot go into"),
        VideoWriter(tmp_path / "v.mp4", 10) as writer,
    ):
        writer.write(small)
        writer.write(large)
    for wrong in (small[:, :, 0], small / 255.0):
        with (
            pytest.raises(ValueError, match="a frame must be uint8 RGB"),
            VideoWriter(tmp_path / "v.mp4", 10) as writer,
        ):
            writer.write(wrong)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_would_fill_the_memory_are_not_decoded(tmp_path, monkeypatch):
    with VideoWriter(tmp_path / "v.mp4", 5) as writer:
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    # The head says less than the frames have, in both places where it says it.
    data = (tmp_path / "v.mp4").read_bytes()
    size = struct.pack(">HH", 64, 48)
    assert data.count(size) == 1
    (tmp_path / "lies.mp4").write_bytes(data.replace(size, struct.pack(">HH", 8, 8)))
    monkeypatch.setattr(video, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match=r"has frames of 64 x 48 pixels: 3071 are the most"):
        VideoFile(tmp_path / "v.mp4")
    with pytest.raises(VideoError, match=r"lies\.mp4"):
        VideoFile(tmp_path / "lies.mp4")
    monkeypatch.setattr(video, "MAX_PIXELS", 64 * 48)
    assert len(list(VideoFile(tmp_path / "lies.mp4"))) == 3


def test_a_small_file_of_a_huge_image_is_refused_unread(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 20000
    with pytest.raises(VideoError, match="has 9000 x 9000 pixels: 67108864 are the most"):
        list(FrameFiles([tmp_path / "bomb.png"]))


def test_tags_that_are_no_text_do_no_harm(tmp_path):
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
