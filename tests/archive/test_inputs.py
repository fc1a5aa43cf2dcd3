"""Finding the videos of an archive."""

import fsspec
import pytest

from maskprop_d2.archive.inputs import Video, detections_address, find_videos
from maskprop_d2.errors import InputError


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Two videos, a folder of images, and other files, in the current folder."""
    monkeypatch.chdir(tmp_path)
    sizes = {"a/x.mp4": 10, "a/b/y.MKV": 30, "a/f/1.png": 9, "a/f/2.png": 9, "a/notes.md": 50}
    for name, size in {**sizes, "a/.hidden.mp4": 5, "a/.cache/z.mp4": 5}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"0" * size)
    return tmp_path


def addresses(*inputs, **options):
    return [x.address for x in find_videos(inputs, **options)]


def test_a_folder_holds_videos_and_folders_of_images_the_largest_first(archive):
    names = ["a/b/y.MKV", "a/f", "a/x.mp4"]
    assert addresses("a") == [str(archive / x) for x in names]
    assert [x.is_folder for x in find_videos(["a"])] == [False, True, False]
    assert [x.size for x in find_videos(["a"])] == [30, 18, 10]
    # Named in two ways, each is one video.
    assert addresses("a", "a/x.mp4", str(archive / "a/b")) == addresses("a")


def test_patterns_and_lists(archive):
    assert addresses("a/*.mp4") == [str(archive / "a/x.mp4")]
    assert addresses("a/**/*.*") == [str(archive / x) for x in ("a/b/y.MKV", "a/x.mp4")]
    assert addresses("a/[bf]") == [str(archive / x) for x in ("a/b/y.MKV", "a/f")]
    (archive / "list.txt").write_text("# cameras\n\n a/x.mp4 \na/b\n")
    assert addresses("list.txt") == [str(archive / x) for x in ("a/b/y.MKV", "a/x.mp4")]
    # A file that is named may have any suffix, also one that looks like a pattern.
    (archive / "v[1].dav").touch()
    assert addresses("v[1].dav") == [str(archive / "v[1].dav")]


def test_outputs_are_not_inputs(archive):
    assert addresses("a", exclude=["a/b"]) == [str(archive / x) for x in ("a/f", "a/x.mp4")]
    assert len(addresses("a", exclude=["a/x"])) == 3


def test_addresses(archive):
    fsspec.filesystem("memory").pipe({"/bucket/v/1.mp4": b"12", "/bucket/v/f/1.jpg": b"1"})
    expected = [f"memory:///bucket/v/{x}" for x in ("1.mp4", "f")]
    assert addresses("memory://bucket/v") == expected
    assert addresses("memory://bucket/*/*.mp4") == expected[:1]
    assert addresses("https://example.org/v.mp4?x=1") == ["https://example.org/v.mp4?x=1"]


def test_names_are_unique_and_stable():
    a, b = Video("/a/day 1/x.mp4"), Video("/b/x.mp4")
    assert a.name.startswith("x-") and a.name != b.name
    assert Video("/a/day 1/x.mp4", 5).name == a.name
    assert Video("s3://b/Zoë & co/v 1.0.mp4").name.startswith("v_1.0-")
    assert len(Video("/" + "ü" * 100).name.encode()) < 255


def test_shards_hold_each_video_once():
    videos = [Video(f"/v/{i}.mp4") for i in range(200)]
    shards = [[x for x in videos if x.is_in_shard(i, 3)] for i in range(3)]
    assert sorted(x.address for shard in shards for x in shard) == sorted(x.address for x in videos)
    assert min(map(len, shards)) > 40


def test_patterns_of_detections():
    video = Video("s3://bucket/day1/cam 2.mp4")
    assert detections_address("/d/{parent}/{stem}.json", video) == "/d/day1/cam 2.json"
    assert detections_address("{folder}/{stem}", video) == "s3://bucket/day1/cam 2"
    for pattern, message in [("d.json", "the same for all"), ("{name}.json", "the fields")]:
        with pytest.raises(InputError, match=message):
            detections_address(pattern, video)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "there is no video at gone"),
        ("a/*.avi", "there is no video at a/"),
        ("gone.txt", "gone.txt cannot be read as a text list"),
        ("empty.txt", "empty.txt lists no video"),
        ("bad.txt", "bad.txt: there is no video at gone.mp4"),
        ("twice.txt", "a text list cannot hold another one"),
        ("foo://bar", "foo://bar cannot be opened: Protocol not known: foo"),
        ("memory://nobody", "there is no video at memory://nobody"),
    ],
)
def test_bad_inputs(name, message, archive):
    (archive / "empty.txt").write_text("# nothing\n")
    (archive / "bad.txt").write_text("a/x.mp4\ngone.mp4\n")
    (archive / "twice.txt").write_text("list.txt\n")
    with pytest.raises(InputError) as error:
        find_videos([name])
    assert message in str(error.value)
