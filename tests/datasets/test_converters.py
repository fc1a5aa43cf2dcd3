"""Converters from other formats to YouTube-VIS format. Converted annotations have AP 100 against
themselves."""

import json

import cv2
import numpy as np
import pytest
from convert_coco import main as convert_coco
from convert_davis import main as convert_davis
from convert_mots import main as convert_mots
from PIL import Image
from pycocotools import mask as coco_mask

from maskprop_d2.commands.validate import main as validate
from maskprop_d2.evaluation import evaluate
from maskprop_d2.ops.rle import decode

HEIGHT, WIDTH = 30, 45


def draw_ids(values, t):
    """(H, W) ids: a moving box for each value; the second one is missing in frame 1."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    for i, value in enumerate(values):
        if (i, t) != (1, 1):
            ids[9 * i + 1 : 9 * i + 8, 5 * t + 2 : 5 * t + 2 + 6 + i] = value
    return ids


def write_videos(folder, videos, suffix=".jpg", mode=None, length=3):
    """Write frames and id masks of videos, each given by its name and object ids."""
    for name, values in videos.items():
        for t in range(length):
            ids = draw_ids(values, t)
            for kind in ("frames", "masks"):
                (folder / kind / name).mkdir(parents=True, exist_ok=True)
            frame = np.repeat((ids % 251).astype(np.uint8)[..., None], 3, axis=2)
            cv2.imwrite(str(folder / f"frames/{name}/{t}{suffix}"), frame)
            if mode == "P":
                image = Image.fromarray(ids.astype(np.uint8), "L").convert("P")
                image.putpalette([x for i in range(256) for x in (i * 37 % 256, 255 - i, i)])
                # putpalette may change the values.
                image.putdata(ids.astype(np.uint8).ravel().tolist())
            else:
                image = Image.fromarray(ids if mode == "I;16" else ids.astype(np.uint8))
            image.save(folder / f"masks/{name}/{t}.png")


def arguments(folder, *more):
    paths = {"frames": folder / "frames", "masks": folder / "masks", "output": folder / "out.json"}
    return [*(x for k, v in paths.items() for x in (f"--{k}", str(v))), *map(str, more)]


def check_round_trip(path, images=None):
    """A dataset has AP 100 against itself and no fatal problem."""
    data = json.loads(path.read_text())
    tracks = [x for x in data["annotations"] if not x["iscrowd"]]
    metrics = evaluate(data, [{**x, "score": 0.5} for x in tracks]).as_dict()
    assert metrics["AP"] == pytest.approx(100) and metrics["AR10"] == pytest.approx(100)
    with pytest.raises(SystemExit) as info:
        validate([str(path), *(["--images", str(images)] if images else [])])
    assert info.value.code == 0
    return data


def masks_of(data, video, number):
    """The decoded masks of track ``number`` of a video."""
    (video_id,) = (x["id"] for x in data["videos"] if x["file_names"][0].startswith(f"{video}/"))
    tracks = [x for x in data["annotations"] if x["video_id"] == video_id]
    return [x and decode(x) for x in tracks[number]["segmentations"]]


def fails(command, options, capsys):
    """The line that a command prints before it exits with status 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as info:
        command(options)
    error = capsys.readouterr().err
    assert info.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("mode", ["P", "L"])
def test_davis(tmp_path, mode):
    videos = {"bear10": [1, 255], "bear2": [1, 2, 7]}
    write_videos(tmp_path, videos, mode=mode)
    # A frame without a mask file is not annotated.
    (tmp_path / "masks/bear2/2.png").unlink()
    convert_davis(arguments(tmp_path))
    data = check_round_trip(tmp_path / "out.json", tmp_path / "frames")
    names = [x["file_names"] for x in data["videos"]]
    assert names == [["bear2/0.jpg", "bear2/1.jpg"], [f"bear10/{t}.jpg" for t in range(3)]]
    assert [x["name"] for x in data["categories"]] == ["object"]
    # 255 is of no object.
    assert [x["video_id"] for x in data["annotations"]] == [1, 1, 1, 2]
    middle = masks_of(data, "bear2", 1)
    assert (middle[0] == (draw_ids([1, 2, 7], 0) == 2)).all() and middle[1] is None
    assert (masks_of(data, "bear2", 2)[1] == (draw_ids([1, 2, 7], 1) == 7)).all()


def test_davis_with_categories_and_a_part_of_the_videos(tmp_path, capsys):
    write_videos(tmp_path, {"a": [1, 2], "b": [3], "c": [1]})
    semantics = {"a": {"1": "dog", "2": "cat"}, "b": {"3": "ant"}}
    (tmp_path / "names.json").write_text(json.dumps(semantics))
    more = ["--categories", tmp_path / "names.json", "--videos"]
    convert_davis(arguments(tmp_path, *more, "a"))
    data = json.loads((tmp_path / "out.json").read_text())
    # The ids do not depend on --videos.
    assert [x["name"] for x in data["categories"]] == ["ant", "cat", "dog"]
    assert [x["category_id"] for x in data["annotations"]] == [3, 2]
    convert_davis(arguments(tmp_path, *more, "b", "a"))
    assert len(json.loads((tmp_path / "out.json").read_text())["videos"]) == 2
    error = fails(convert_davis, arguments(tmp_path, *more, "c"), capsys)
    assert "masks/c/0.png: " in error and "no category for object 1 of c" in error
    (tmp_path / "names.json").write_text('{"a": ["dog"]}')
    assert "must have the form" in fails(convert_davis, arguments(tmp_path, *more, "a"), capsys)


@pytest.mark.parametrize("colours", [False, True])
def test_binary_masks(tmp_path, capsys, colours):
    write_videos(tmp_path, {"a": [255]})
    if colours:
        for path in (tmp_path / "masks/a").iterdir():
            Image.open(path).convert("RGBA").save(path)
    error = fails(convert_davis, arguments(tmp_path), capsys)
    assert "--binary" in error and not (tmp_path / "out.json").exists()
    convert_davis(arguments(tmp_path, "--binary"))
    data = check_round_trip(tmp_path / "out.json", tmp_path / "frames")
    assert (masks_of(data, "a", 0)[2] == (draw_ids([255], 2) == 255)).all()


def test_mots(tmp_path, capsys):
    write_videos(tmp_path, {"0000": [1005, 2005], "0001": [2000, 10_000, 1001]}, ".png", "I;16")
    convert_mots(arguments(tmp_path))
    data = check_round_trip(tmp_path / "out.json", tmp_path / "frames")
    assert [x["name"] for x in data["categories"]] == ["car", "pedestrian"]
    found = [(x["video_id"], x["category_id"]) for x in data["annotations"]]
    assert found == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert (masks_of(data, "0001", 0)[2] == (draw_ids([0, 0, 1001], 2) == 1001)).all()
    convert_mots(arguments(tmp_path, "--videos", "0001"))
    assert len(json.loads((tmp_path / "out.json").read_text())["videos"]) == 1
    error = fails(convert_mots, arguments(tmp_path, "--categories", "car"), capsys)
    assert "masks/0000/0.png: pixel value 2005 means class 2" in error


def test_bad_files_are_named_and_nothing_is_written(tmp_path, capsys):
    def error():
        return fails(convert_davis, arguments(tmp_path), capsys)

    assert "masks: there is no such folder" in error()
    write_videos(tmp_path, {"a": [1]})
    Image.new("L", (WIDTH, HEIGHT + 1)).save(tmp_path / "masks/a/1.png")
    assert "masks/a/1.png has 45 x 31 pixels" in error()
    Image.new("L", (WIDTH + 1, HEIGHT)).save(tmp_path / "frames/a/1.jpg")
    assert "frames/a/1.jpg has 46 x 30 pixels" in error()
    (tmp_path / "frames/a/1.jpg").write_text("")
    assert "frames/a/1.jpg is not an image" in error()
    (tmp_path / "frames/a/1.jpg").unlink()
    assert "masks/a/1.png needs" in error()
    (tmp_path / "masks/a/1.png").unlink()
    (tmp_path / "masks/a/0.png").write_text("")
    assert "masks/a/0.png is not an image" in error()
    # The folder above the right one.
    (tmp_path / "masks").rename(tmp_path / "480p")
    (tmp_path / "masks").mkdir()
    (tmp_path / "480p").rename(tmp_path / "masks/480p")
    assert "masks/480p holds no .png: if it is a folder of videos" in error()
    assert not list(tmp_path.glob("out.json*"))


@pytest.fixture
def coco():
    """Two images; a polygon, a crowd, and two objects without a usable mask."""
    polygon = [[2, 2, 20, 2, 20, 15, 2, 15]]
    crowd = {"size": [HEIGHT, WIDTH], "counts": [30, 300, HEIGHT * WIDTH - 330]}
    annotations = [
        {"id": 11, "image_id": 5, "category_id": 90, "segmentation": polygon, "iscrowd": 0},
        {"id": 12, "image_id": 5, "category_id": 18, "segmentation": crowd, "iscrowd": 1},
        {"id": 13, "image_id": 5, "category_id": 18, "segmentation": [[1, 1]], "iscrowd": 0},
        {"id": 14, "image_id": 9, "category_id": 18, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        {"id": 15, "image_id": 9, "category_id": 18, "segmentation": polygon, "iscrowd": 0},
    ]
    images = [{"id": i, "height": HEIGHT, "width": WIDTH, "file_name": f"{i}.jpg"} for i in (5, 9)]
    categories = [{"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def test_coco(tmp_path, coco, capsys):
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    convert_coco(["--json", str(tmp_path / "coco.json"), "--output", str(tmp_path / "out.json")])
    skipped = "skipped 2 objects without a usable mask, for example annotation 13"
    assert skipped in capsys.readouterr().out
    data = check_round_trip(tmp_path / "out.json")
    assert [x["file_names"] for x in data["videos"]] == [["5.jpg"], ["9.jpg"]]
    assert [x["id"] for x in data["categories"]] == [18, 90]
    tracks = [(x["id"], x["video_id"], x["iscrowd"]) for x in data["annotations"]]
    assert tracks == [(11, 5, 0), (12, 5, 1), (15, 9, 0)]
    assert coco_mask.area(data["annotations"][1]["segmentations"][0]) == 300


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("images", None, "must have lists of 'images' and 'annotations'"),
        ("images", [{"id": 5}], "video 5 needs"),
        ("categories", 3, "'categories' must be a list"),
        ("annotations", [3], "must have lists of 'images' and 'annotations'"),
    ],
)
def test_other_formats_than_coco_are_an_error(tmp_path, coco, capsys, key, value, message):
    (tmp_path / "coco.json").write_text(json.dumps({**coco, key: value}))
    options = ["--json", str(tmp_path / "coco.json"), "--output", str(tmp_path / "out.json")]
    assert message in fails(convert_coco, options, capsys)
    assert {x.name for x in tmp_path.iterdir()} == {"coco.json"}
