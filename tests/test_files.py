import errno

import pytest

from maskprop_d2.files import whole_file, whole_folder
from maskprop_d2.ytvis.writing import write_whole


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("old")
    with pytest.raises(OSError), whole_file(path) as partial:
        partial.write_text("half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [x.name for x in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


def test_a_folder_comes_whole_or_not_at_all_and_takes_the_place_of_an_earlier_one(tmp_path):
    place = tmp_path / "a" / "b"

    def fill(name):
        with whole_folder(place) as folder:
            (folder / name).write_text("text")
            assert not (place / name).exists()
            if name == "wrong":
                raise OSError("disk full")

    fill("first")
    with pytest.raises(OSError, match="disk full"):
        fill("wrong")
    assert [x.name for x in place.iterdir()] == ["first"]
    fill("second")
    assert [x.name for x in place.iterdir()] == ["second"]
    assert list(place.parent.iterdir()) == [place]


def test_of_files_that_belong_together_all_are_written_or_none(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_whole({first: [1], second: {2}})
    assert list(tmp_path.iterdir()) == []
    write_whole({first: [1], second: [2]})
    assert (first.read_text(), second.read_text()) == ("[1]", "[2]")
