"""Damaged images."""

import cv2
import numpy as np
import pytest
from PIL import Image

from maskprop_d2.errors import VideoError
from maskprop_d2.video.images import load_image, read_image


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    return path


def test_a_png_chunk_longer_than_the_file_is_rejected_before_decoding(png, monkeypatch):
    data = bytearray(png.read_bytes())
    start = data.index(b"IDAT") - 4
    data[start] |= 0x40
    png.write_bytes(data)
    monkeypatch.setattr(cv2, "imread", lambda *_: pytest.fail("OpenCV was called"))
    with pytest.raises(VideoError, match="is truncated"):
        read_image(str(png))
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("Pillow was called"))
    with pytest.raises(VideoError, match="is truncated"):
        load_image(png)


def test_a_truncated_png_is_rejected(png):
    png.write_bytes(png.read_bytes()[:-20])
    with pytest.raises(VideoError, match="is truncated"):
        read_image(str(png))


def test_bytes_after_the_end_of_a_png_are_ignored(png):
    whole = read_image(str(png))
    png.write_bytes(png.read_bytes() + b"\xff" * 50)
    np.testing.assert_array_equal(read_image(str(png)), whole)


def test_errors_of_opencv_are_reported(png, monkeypatch):
    def refuse(*_):
        raise cv2.error("too wide")

    monkeypatch.setattr(cv2, "imread", refuse)
    with pytest.raises(VideoError, match="is not an image"):
        read_image(str(png))
