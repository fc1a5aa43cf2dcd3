import av
import numpy as np
import pytest
from drawn_videos import draw_frames, number_frames, write_video

from maskprop_d2.video import FrameFiles, VideoFile, find_frames
from maskprop_d2.video.writing import FrameFolderWriter, VideoWriter


@pytest.mark.parametrize("size", [(48, 64), (720, 1280)])
@pytest.mark.parametrize("color", [(200, 100, 50), (20, 230, 10)])
def test_colours_are_kept_and_the_file_names_their_encoding(tmp_path, size, color):
    path = write_video(tmp_path / "v.mp4", [np.full((*size, 3), color, np.uint8)])
    assert np.abs(next(iter(VideoFile(path))).astype(int) - color).max() <= 3
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    bt709, limited_range = 1, 1
    assert (frame.colorspace, frame.color_range) == (bt709, limited_range)
    assert frame.format.name == "yuv420p"


def test_the_index_comes_before_the_frames(tmp_path):
    data = write_video(tmp_path / "v.mp4", draw_frames()).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sizes_are_padded(tmp_path):
    frames = draw_frames(3, 33, 57)
    read = list(VideoFile(write_video(tmp_path / "v.mp4", frames)))
    assert read[0].shape == (34, 58, 3)
    # With the edge, not with black.
    padded = np.pad(frames, ((0, 0), (0, 1), (0, 1), (0, 0)), "edge")
    assert np.abs(np.array(read).astype(int) - padded).mean() < 6
    assert np.abs(read[0][-1].astype(int) - padded[0][-1]).mean() < 8


def test_timestamps(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        for frame, timestamp in zip(number_frames(4), (0, 3, 2, 9), strict=True):
            writer.write(frame, timestamp)
    with av.open(str(tmp_path / "v.mp4")) as container:
        frames = list(container.decode(video=0))
    # They increase.
    assert [round(frame.time * 10) for frame in frames] == [0, 3, 4, 9]


def test_folders_are_created_with_the_first_frame(tmp_path):
    images = FrameFolderWriter(tmp_path / "b")
    with VideoWriter(tmp_path / "a/v.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []
    with VideoWriter(tmp_path / "a/v.mp4", 10) as writer:
        writer.write(draw_frames(1)[0])
        images.write(draw_frames(1)[0])
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_is_written_and_read_back(tmp_path):
    frames = draw_frames(11)
    writer = FrameFolderWriter(tmp_path)
    for frame in frames:
        writer.write(frame)
    paths = find_frames([str(tmp_path)])
    assert paths == [str(tmp_path / f"{i:05d}.jpg") for i in range(11)]
    assert np.abs(np.array(list(FrameFiles(paths))).astype(int) - frames).mean() < 6


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt, 5), (RuntimeError, 0)])
def test_a_video_is_kept_after_ctrl_c_and_removed_after_an_error(tmp_path, error, kept):
    path = tmp_path / "v.mp4"
    with pytest.raises(error), VideoWriter(path, 10) as writer:
        for frame in draw_frames(5):
            writer.write(frame)
        assert not path.exists()
        raise error
    assert [p.name for p in tmp_path.iterdir()] == (["v.mp4"] if kept else [])
    if kept:
        assert len(list(VideoFile(path))) == kept


def test_invalid_names_and_frames_are_rejected(tmp_path):
    with pytest.raises(ValueError, match=r"cannot write .*v\.gif.* must end in one of \.avi, "):
        VideoWriter(tmp_path / "v.gif", 10)
    small, large = draw_frames(1)[0], draw_frames(1, 50, 64)[0]
    with (
        pytest.raises(ValueError, match="the frame has 64 x 50 pixels, but the video"),
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
