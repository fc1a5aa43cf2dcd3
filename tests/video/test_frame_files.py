"""Videos stored as images."""

import cv2
import numpy as np
import pytest
from drawn_videos import draw_frames
from PIL import Image

from maskprop_d2.errors import VideoError
from maskprop_d2.video.frame_files import FrameFiles, find_frames, natural_sort


@pytest.mark.parametrize("kind", ["grey", "alpha", "16 bits"])
def test_all_kinds_of_images_become_rgb(tmp_path, kind):
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
    assert FrameFiles([path]).frame_size == read.shape[:2]
    assert np.array_equal(read, expected)


def test_errors_name_the_frame(tmp_path):
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


def test_a_huge_image_in_a_small_file_is_rejected_without_decoding(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 20000
    with pytest.raises(VideoError, match="has 9000 x 9000 pixels; the limit is 67108864 pixels"):
        list(FrameFiles([tmp_path / "bomb.png"]))


def test_frames_are_found_and_sorted(tmp_path):
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
    with pytest.raises(VideoError, match=r"there is no image at .*empty \(looked for \.bmp, "):
        find_frames([str(tmp_path / "empty")])


def test_natural_sort():
    names = ["b", "a10", "10", "a2b", "a02b", "a2", "9", "a²"]
    for given in (names, names[::-1]):
        assert natural_sort(given) == ["9", "10", "a2", "a02b", "a2b", "a10", "a²", "b"]
