import errno

import pytest

from maskprop_d2.files import atomic_file, atomic_folder
from maskprop_d2.ytvis.writing import write_json_files


def test_a_failed_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_file(path) as partial:
        partial.write_text("old")
    with pytest.raises(OSError), atomic_file(path) as partial:
        partial.write_text("half of the n")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [x.name for x in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


def test_a_folder_replaces_an_earlier_one_only_when_complete(tmp_path):
    place = tmp_path / "a" / "b"

    def fill(name):
        with atomic_folder(place) as folder:
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


def test_several_files_are_written_together_or_not_at_all(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json_files({first: [1], second: {2}})
    assert list(tmp_path.iterdir()) == []
    write_json_files({first: [1], second: [2]})
    assert (first.read_text(), second.read_text()) == ("[1]", "[2]")
