import numpy as np
import pytest
from PIL import Image

from maskprop_d2.errors import VideoError
from maskprop_d2.ops.rle import encode
from maskprop_d2.video.drawing import track_color
from maskprop_d2.video.id_masks import (
    IdMaskWriter,
    draw_id_mask,
    object_id,
    object_values,
    read_id_mask,
)

SIZE = 12, 16


def square(y, x):
    mask = np.zeros(SIZE, bool)
    mask[y : y + 6, x : x + 6] = True
    return encode(mask)


def test_ids_start_at_one_and_the_object_with_the_highest_score_wins():
    masks = [square(0, 0), square(3, 3), square(6, 9), encode(np.zeros(SIZE, bool))]
    ids = draw_id_mask(masks, [0, 4, 2, 9], [0.9, 0.5, 0.8, 1.0], *SIZE)
    assert ids.dtype == np.uint8
    assert [np.count_nonzero(ids == i) for i in (1, 5, 3, 10)] == [36, 27, 36, 0]
    assert ids[0, 0] == 1 and ids[5, 5] == 1 and ids[8, 8] == 5 and ids[11, 14] == 3
    assert np.array_equal(draw_id_mask([], [], [], *SIZE), np.zeros(SIZE))


def test_no_object_has_the_id_of_void():
    ids = [object_id(track_id) for track_id in range(1000)]
    assert ids[0] == 1 and ids[253] == 254 and ids[254] == 256
    assert 255 not in ids and len(set(ids)) == 1000


def test_ids_are_read_back_from_palette_and_16_bit_images(tmp_path):
    writer = IdMaskWriter(tmp_path / "ids")
    assert not (tmp_path / "ids").exists()
    few = draw_id_mask([square(0, 0), square(5, 5)], [0, 253], [0.5, 0.5], *SIZE)
    many = draw_id_mask([square(0, 0), square(5, 5)], [0, 65_533], [0.5, 0.5], *SIZE)
    writer.write(few, "a")
    writer.write(many, "b")
    assert sorted(x.name for x in (tmp_path / "ids").iterdir()) == ["a.png", "b.png"]
    for name, ids, mode in (("a.png", few, "P"), ("b.png", many, "I;16")):
        with Image.open(tmp_path / "ids" / name) as image:
            assert image.mode == mode
        assert np.array_equal(read_id_mask(tmp_path / "ids" / name), ids)
    assert few.max() == 254 and many.max() == 65_535
    with Image.open(tmp_path / "ids/a.png") as image:
        colors = np.asarray(image.convert("RGB"))
    assert colors[0, 0].tolist() == list(track_color(0))
    assert colors[8, 8].tolist() == list(track_color(253))
    assert colors[0, 15].tolist() == [0, 0, 0]


def test_a_failed_file_is_removed(tmp_path, monkeypatch):
    writer = IdMaskWriter(tmp_path)
    writer.write(np.zeros(SIZE, np.uint8), "00000")

    def save(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="disk full"):
        writer.write(np.zeros(SIZE, np.uint8), "00001")
    assert [x.name for x in tmp_path.iterdir()] == ["00000.png"]


def test_too_many_objects():
    with pytest.raises(VideoError, match="id masks can hold at most 65534 objects"):
        draw_id_mask([square(0, 0)], [65_534], [0.5], *SIZE)


def test_the_values_of_objects():
    assert object_values(np.array([[0, 3, 255], [1, 1, 300]])) == [1, 3, 300]
    assert object_values(np.array([[0, 255], [255, 0]], np.uint8)) == [255]
    assert object_values(np.array([[False, True]])) == [1]
    assert object_values(np.zeros(SIZE)) == []


def test_what_is_no_id_mask(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    with pytest.raises(VideoError, match=r"a\.png has colours \(RGB\) instead of ids"):
        read_id_mask(tmp_path / "a.png")
    Image.new("1", (2**13, 2**13 + 1)).save(tmp_path / "b.png")
    with pytest.raises(VideoError, match=r"b\.png has 8192 x 8193 pixels; the limit is"):
        read_id_mask(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("no image")
    with pytest.raises(VideoError, match=r"c\.png is not an image"):
        read_id_mask(tmp_path / "c.png")
