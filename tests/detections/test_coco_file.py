"""Detections in COCO's formats"""

import gzip
import json
import tracemalloc

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from small_detections import SIZE, entry, like_video, square, write, write_frames

from maskprop_d2.detections import CocoDetections
from maskprop_d2.errors import InputError
from maskprop_d2.ops.rle import encode


def read(path, content, video=None, **options):
    return CocoDetections(write(path / "d.json", content), video or like_video(), **options)


def test_detections_come_frame_by_frame(tmp_path):
    # Not in the order of the frames.
    entries = [entry(2), entry(0, 12, score=0.25), entry(0, category_id=1), entry(3, score=1)]
    found = read(tmp_path, entries)
    assert [len(found.frame(t)) for t in (0, 1, 2, 3, 4)] == [2, 0, 1, 1, 0]
    first = found.frame(0)
    assert np.array_equal(first.masks, [square(0, 12), square(0)])
    assert first.scores.tolist() == [0.25, 0.5] and first.scores.dtype == np.float32
    assert first.labels.tolist() == [1, 0]
    assert (found.class_names, found.category_ids) == (["person", "car"], [1, 3])
    assert found.frame(1).masks.shape == (0, *SIZE)


def test_every_kind_of_mask(tmp_path):
    mask = square(1)
    runs = [int(x) for x in np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=0)))]
    start = int(np.flatnonzero(mask.T.ravel())[0])
    counts = [start, *runs, mask.size - start - sum(runs)]
    small = {"size": [12, 16], "counts": encode(mask[::2, ::2])["counts"]}
    kinds = [
        encode(mask),
        {"size": list(SIZE), "counts": counts},
        [[2, 4, 10, 4, 10, 12, 2, 12]],
        # At half the size of the frame.
        small,
    ]
    for kind in kinds:
        found = read(tmp_path, [entry(1, segmentation=kind)])
        assert np.array_equal(found.frame(1).masks, [mask]), kind
    # Without a pixel.
    for kind in ([], encode(np.zeros(SIZE, bool))):
        assert len(read(tmp_path, [entry(1, segmentation=kind)]).frame(1)) == 0


def test_an_annotation_file(tmp_path):
    """As annotation tools write it: ids of images and categories from 1, no scores."""
    polygon = [[4, 8, 20, 8, 20, 24, 4, 24]]
    images = [
        # Names in another order than the ids, and twice the size.
        {"id": 7, "file_name": "v\\b.png", "height": 48, "width": 64},
        {"id": 9, "file_name": "v/a.jpg"},
    ]
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 5, "segmentation": polygon, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 5, "segmentation": encode(square(0)), "iscrowd": 1},
        {"id": 3, "image_id": 9, "category_id": 2, "segmentation": encode(square(0))},
    ]
    categories = [{"id": 2, "name": "cat"}, {"id": 4, "name": "cow"}, {"id": 5, "name": "dog"}]
    content = {"annotations": annotations, "images": images, "categories": categories}
    video = write_frames(tmp_path / "v", ["a", "b"])
    with gzip.open(tmp_path / "d.json.gz", "wt") as file:
        json.dump(content, file)
    found = CocoDetections(tmp_path / "d.json.gz", video)
    assert (found.class_names, found.category_ids) == (["cat", "cow", "dog"], [2, 4, 5])
    assert np.array_equal(found.frame(0).masks, [square(0)])
    assert np.array_equal(found.frame(1).masks, [square(1)])
    assert found.frame(1).labels.tolist() == [2] and found.frame(1).scores.tolist() == [1]


def test_frames_are_found_by_name(tmp_path, caplog):
    video = write_frames(tmp_path / "v", ["frame7", "frame10"])
    found = read(
        tmp_path, [entry(0, file_name="x/frame10.jpg"), entry(0, image_id="frame7")], video
    )
    assert [len(found.frame(t)) for t in (0, 1)] == [1, 1] and "ignored" not in caplog.text
    # A part of the frames.
    entries = [entry(0, file_name=f"frame{t}.png") for t in (6, 7, 8)]
    found = read(tmp_path, entries, video)
    assert [len(found.frame(t)) for t in (0, 1)] == [1, 0]
    assert "2 of 3 detections are ignored: their frames are not in the input" in caplog.text
    # The frames were renamed, or are in a video file: the index counts.
    entries = [entry(t, file_name=f"{t + 5}.jpg") for t in (0, 1)]
    for source in (video, like_video(2)):
        assert len(read(tmp_path, entries, source).frame(1)) == 1


def categories(*pairs):
    """Entries with these pairs of category id and name."""
    return [entry(t, category_id=i, category_name=name) for t, (i, name) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("entries", "names", "ids"),
    [
        (categories((..., ...), (..., ...)), ["object"], [1]),
        (categories((90, ...), (3, ...)), ["car", "toothbrush"], [3, 90]),
        # COCO has no 12.
        (categories((3, ...), (12, ...)), ["category 3", "category 12"], [3, 12]),
        # Some number COCO's 80 categories without gaps.
        (categories((40, "bottle"), (1, "person")), ["person", "bottle"], [1, 40]),
        (categories((..., "b"), (..., "a"), (..., "b")), ["a", "b"], [1, 2]),
        # One id for all.
        (categories((1, "b"), (1, "a"), (1, "b")), ["a", "b"], [1, 2]),
        (categories((4, ...), (..., "b")), ["motorcycle", "b"], [1, 2]),
    ],
)
def test_category_names(entries, names, ids, tmp_path):
    found = read(tmp_path, entries)
    assert (found.class_names, found.category_ids) == (names, ids)
    first = entries[0].get("category_name", names[found.frame(0).labels[0]])
    assert found.class_names[found.frame(0).labels[0]] == first


def test_what_is_assumed_of_categories_is_said(tmp_path, caplog):
    read(tmp_path, categories((3, ...), (4, "b")))
    assert "categories without names are taken as those of COCO" in caplog.text
    caplog.clear()
    read(tmp_path, categories((3, "a"), (..., ...)))
    read(tmp_path, [])
    assert not caplog.records


def test_too_many_categories(tmp_path, monkeypatch):
    monkeypatch.setattr("maskprop_d2.detections.category_names.MAX_CATEGORIES", 2)
    with pytest.raises(InputError, match=r"d\.json has more than 2 categories"):
        read(tmp_path, categories((1, "a"), (2, "b"), (3, "c")))


def test_given_category_names(tmp_path):
    entries = [entry(0, category_id=2, category_name="x"), entry(1, category_id=1)]
    found = read(tmp_path, entries, class_names=["a", "b", "c"])
    assert (found.class_names, found.category_ids) == (["a", "b", "c"], [1, 2, 3])
    entries.append(entry(2, category_id=0))
    found = read(tmp_path, entries, class_names=["a", "b", "c"])
    assert (found.class_names, found.category_ids) == (["a", "b", "c"], [0, 1, 2])
    with pytest.raises(InputError, match="there are 2 class names, but a 'category_id' 2"):
        read(tmp_path, entries, class_names=["a", "b"])


BOX = {"image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "must be a list or an object"),
        ({"images": []}, "with the list 'annotations'"),
        ([3], "entry 0: must be an object"),
        ([BOX], "entry 0 .image_id 0.: it has no 'segmentation': linking needs masks"),
        ([BOX | {"segmentations": []}], "it is a track with masks of many frames"),
        ([entry(0), entry(1, score=1.5)], r"entry 1 \(image_id 1\): 'score' must be in 0..1"),
        ([entry(0, score=None)], "'score' must be in 0..1, not None"),
        (
            [entry(0, image_id=...)],
            "entry 0: needs 'image_id', the index of its frame",
        ),
        ([entry(0, image_id=-1)], "needs 'image_id', the index of its frame from 0, not -1"),
        ([entry(0, image_id=2**70)], "needs 'image_id', the index of its frame from 0"),
        ([entry(0, image_id="a")], "needs 'image_id', the index of its frame from 0, not 'a'"),
        ([entry(0, file_name=3)], r"\(file_name 3\): 'file_name' must be a string, not 3"),
        ([entry(0, category_id="a")], "'category_id' must be from 0, not 'a'"),
        ([entry(0, category_name=1)], "'category_name' must be a string, not 1"),
        ([entry(0, segmentation="x")], "a mask must be an RLE"),
        ([entry(0, segmentation={"size": 3})], "size must be two numbers, not 3"),
        ([entry(0, segmentation={"size": [0, 9]})], "a mask of 9 x 0 pixels"),
        ([entry(0, segmentation={"size": [2**14, 2**14]})], "the limit is"),
        ([entry(0, segmentation={"size": [9, 9]})], "masks of 9 x 9 pixels do not fit a frame"),
        ([entry(0, segmentation={"size": list(SIZE), "counts": "1"})], "runs must add up"),
        ([entry(0, segmentation=[[1, 2]])], "a polygon must be a list of at least three points"),
        (
            [entry(0, image_id=9)],
            "in the frames 9 to 9, but the input has 4 frames: count",
        ),
        ([entry(1), entry(4)], "detections in the frames 1 to 4, but the input has 4 frames"),
        ({"annotations": [], "images": 3}, "'images' must be a list"),
        ({"annotations": [], "images": [{}]}, "entry 0 of 'images' needs an 'id'"),
        ({"annotations": [], "categories": 3}, "'categories' must be a list"),
        ({"annotations": [], "categories": [3]}, "entry 0 of 'categories' needs an 'id' and a"),
        (
            {"annotations": [entry(0)], "categories": [{"id": 1, "name": "a"}]},
            "'category_id' 3 is not in 'categories'",
        ),
    ],
)
def test_bad_files(content, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(str(tmp_path / "d.json"))


def dataset(names, ids, **fields):
    """An annotation file with a mask in each image."""
    images = [{"id": i, "file_name": name} for i, name in zip(ids, names, strict=True)]
    annotations = [entry(i, score=..., **fields) for i in ids]
    categories = [{"id": 3, "name": "car"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def test_a_file_of_several_videos(tmp_path, caplog):
    video = write_frames(tmp_path / "b", ["0", "1"])
    content = dataset(["a/0.jpg", "a/1.jpg", "b/1.jpg"], [1, 2, 3])
    found = read(tmp_path, content, video)
    assert [len(found.frame(t)) for t in (0, 1)] == [0, 1]
    assert "2 of 3 detections are ignored: their frames are not in the input" in caplog.text
    with pytest.raises(InputError, match="frames of these names in several folders"):
        read(tmp_path, content, write_frames(tmp_path / "c", ["0", "1"]))


def test_images_are_counted_from_1(tmp_path):
    names = [f"frame_{t}.PNG" for t in range(4)]
    content = dataset(names, [1, 2, 3, 4])
    # The last frame has no mask.
    del content["annotations"][3]
    found = read(tmp_path, content)
    assert [len(found.frame(t)) for t in range(4)] == [1, 1, 1, 0]
    found = read(tmp_path, dataset(names, [0, 1, 2, 3]))
    assert [len(found.frame(t)) for t in range(4)] == [1, 1, 1, 1]


def test_masks_that_are_written_as_crowds(tmp_path, caplog):
    content = dataset(["0.png", "1.png"], [0, 1], iscrowd=1)
    content["annotations"][1]["attributes"] = {"track_id": 7}
    found = read(tmp_path, content)
    assert [len(found.frame(t)) for t in (0, 1)] == [0, 1]
    assert "1 masks of crowds (iscrowd) are ignored" in caplog.text


def test_the_last_frames_of_a_video_file_may_be_missing(tmp_path):
    # Its header may be wrong.
    assert len(read(tmp_path, [entry(0), entry(4)]).frame(4)) == 1
    assert len(read(tmp_path, [entry(0, image_id=9)], like_video(None)).frame(9)) == 1
    video = write_frames(tmp_path / "v")
    with pytest.raises(InputError, match="frames 0 to 4, but the input has 4 frames"):
        read(tmp_path, [entry(0), entry(4)], video)


def test_names_of_no_frame(tmp_path):
    video = write_frames(tmp_path / "v", ["a", "b"])
    with pytest.raises(InputError, match="none of its frames is in the input: 'c' against 'a'"):
        read(tmp_path, [entry(0, image_id="c")], video)


def test_too_many_masks_for_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("maskprop_d2.detections.conversion.MAX_PIXELS", 2 * SIZE[0] * SIZE[1])
    found = read(tmp_path, [entry(0), entry(1), entry(1), entry(1)])
    assert len(found.frame(0)) == 1
    with pytest.raises(InputError, match="frame 1: 3 masks of 32 x 24 pixels in one frame are too"):
        found.frame(1)


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("maskprop_d2.detections.coco_file.MAX_MEMORY", 2**16)
    monkeypatch.setattr("maskprop_d2.ytvis.reading.CHUNK", 2**16)
    noise = coco_mask.encode(np.asfortranarray(np.random.default_rng(0).random((240, 320)) < 0.5))
    mask = {"size": [240, 320], "counts": noise["counts"].decode()}
    text = json.dumps(entry(0, segmentation=mask))
    path = tmp_path / "d.json"
    path.write_text(f"[{','.join([text] * 80)}]")
    assert path.stat().st_size > 3e6
    tracemalloc.start()
    found = CocoDetections(path, like_video())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6 and len(found.frame(0)) == 80
