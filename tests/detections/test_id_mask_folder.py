"""Detections in folders of id masks"""

import numpy as np
import pytest
from PIL import Image
from small_detections import SIZE, like_video, square, write_frames

from maskprop_d2.detections import IdMaskFolder
from maskprop_d2.errors import InputError


def write_masks(folder, names, t=0):
    folder.mkdir()
    for i, name in enumerate(names):
        ids = 5 * square(t + i) + 9 * square(t + i, 14).astype(np.uint8)
        Image.fromarray(ids.astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "notes.txt").touch()
    return folder


def frames_of(folder, video, length=4):
    return [t for t in range(length) if len(IdMaskFolder(folder, video).frame(t))]


def test_every_value_is_an_object(tmp_path):
    found = IdMaskFolder(write_masks(tmp_path / "m", ["0", "1"]), like_video(2))
    first = found.frame(1)
    assert np.array_equal(first.masks, [square(1), square(1, 14)])
    assert first.scores.tolist() == [1, 1] and first.labels.tolist() == [0, 0]
    assert list(found.class_names) == ["object"] and list(found.category_ids) == [1]
    assert len(found.frame(2)) == 0 and found.frame(2).masks.shape == (0, *SIZE)


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["0000", "0001", "0002", "0003"], [0, 1, 2, 3]),
        (["1", "2", "3", "4"], [0, 1, 2, 3]),
        (["a2", "a10"], [0, 1]),
        # Frames without an object.
        (["0", "3"], [0, 3]),
        (["2", "3"], [2, 3]),
    ],
)
def test_masks_of_a_video_file_are_in_order_or_numbered(names, frames, tmp_path, caplog):
    folder = write_masks(tmp_path / "m", names)
    assert frames_of(folder, like_video()) == frames
    guessed = names == ["a2", "a10"]
    assert ("are taken for those of the first frames" in caplog.text) == guessed


def test_masks_of_image_files_have_their_names(tmp_path, caplog):
    video = write_frames(tmp_path / "v", ["1", "2", "3"])
    assert frames_of(write_masks(tmp_path / "m", ["2", "3"]), video) == [1, 2]
    assert not caplog.records
    assert frames_of(write_masks(tmp_path / "n", ["3", "4"]), video) == [2]
    assert "1 of 2 id masks are ignored: no frame in the input has their name" in caplog.text
    assert frames_of(write_masks(tmp_path / "o", ["x", "y"]), video) == [0, 1]


def test_masks_of_half_the_size(tmp_path):
    Image.fromarray(square(1)[::2, ::2].astype(np.uint8)).save(tmp_path / "0.png")
    assert np.array_equal(IdMaskFolder(tmp_path, like_video(1)).frame(0).masks, [square(1)])


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match=r"v holds no \.png"):
        (tmp_path / "v").mkdir()
        IdMaskFolder(tmp_path / "v", like_video())
    with pytest.raises(InputError, match="frames 0 to 9, but the input has 4 frames"):
        IdMaskFolder(write_masks(tmp_path / "m", ["0", "9"]), like_video())
    Image.fromarray(np.ones((9, 9), np.uint8)).save(tmp_path / "m/0.png")
    (tmp_path / "m/9.png").write_text("no image")
    found = IdMaskFolder(tmp_path / "m", like_video(10))
    with pytest.raises(InputError, match=r"m/0\.png: masks of 9 x 9 pixels do not fit a frame"):
        found.frame(0)
    with pytest.raises(InputError, match=r"m/9\.png is not an image"):
        found.frame(9)
