"""Converting BURST's annotations."""

import json

import cv2
import numpy as np
import pytest
from convert_burst import main as convert_burst
from test_converters import HEIGHT, WIDTH, check_round_trip, draw_ids, fails, masks_of

from maskprop_d2.ops.rle import encode


def sequence(video_id, name, track_categories, annotated=(0, 2)):
    """A sequence of three frames with the objects of ``draw_ids``, not all of them annotated."""
    paths = [f"frame{t:04d}.jpg" for t in range(3)]
    numbers = [int(x) for x in track_categories]
    frames = []
    for t in annotated:
        ids = draw_ids(numbers, t)
        masks = {f"{x}": encode(ids == x)["counts"] for x in numbers if (ids == x).any()}
        frames.append({k: {"rle": x, "is_gt": True, "score": 1.0} for k, x in masks.items()})
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "id": video_id,
        "seq_name": name,
        "dataset": "AVA",
        "fps": 30,
        "all_image_paths": paths,
        "annotated_image_paths": [paths[t] for t in annotated],
        "neg_category_ids": [1],
        "not_exhaustive_category_ids": [],
        "track_category_ids": track_categories,
        "segmentations": frames,
    }


@pytest.fixture
def burst():
    """One video with two objects, one with an object that is seen in no annotated frame."""
    first = sequence(4, "one", {"1": 805, "2": 13})
    second = sequence(9, "two", {"1": 13, "2": 805}, annotated=(1,))
    categories = [{"id": 805, "name": "person", "synset": "person.n.01"}, {"id": 13, "name": "ape"}]
    return {"sequences": [first, second], "categories": categories, "split": "val"}


def arguments(folder):
    return ["--json", str(folder / "all_classes.json"), "--output", str(folder / "val.json")]


def test_round_trip(tmp_path, burst, capsys):
    for name in ("one", "two"):
        (tmp_path / "frames/val/AVA" / name).mkdir(parents=True)
        for t in range(3):
            path = tmp_path / f"frames/val/AVA/{name}/frame{t:04d}.jpg"
            cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    (tmp_path / "all_classes.json").write_text(json.dumps(burst))
    convert_burst(arguments(tmp_path))
    assert "2 videos, 2 categories, 3 annotations" in capsys.readouterr().out
    data = check_round_trip(tmp_path / "val.json", tmp_path / "frames/val")
    names = [x["file_names"] for x in data["videos"]]
    assert names == [["AVA/one/frame0000.jpg", "AVA/one/frame0002.jpg"], ["AVA/two/frame0001.jpg"]]
    ids = [(x["video_id"], x["category_id"]) for x in data["annotations"]]
    assert ids == [(4, 805), (4, 13), (9, 13)]
    assert (masks_of(data, "AVA/one", 1)[1] == (draw_ids([1, 2], 2) == 2)).all()


def _set(*path, value):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("sequences", value=3), "must have a list of 'sequences'"),
        (_set("sequences", 0, value=3), "sequence 0 is malformed: "),
        (_set("sequences", 1, value={}), "sequence 1 needs 'dataset'"),
        (_set("sequences", 0, "width", value="9"), "video 4 needs 'height' and 'width'"),
        (_set("sequences", 0, "segmentations", value=[]), "0 'segmentations' for 2 annotated"),
        (_set("sequences", 0, "segmentations", 0, "1", value={}), "sequence 0 needs 'rle'"),
        (_set("sequences", 0, "segmentations", 0, "1", "rle", value="1"), "must add up to"),
        (_set("sequences", 0, "track_category_ids", "1", value=7), "unknown 'category_id' 7"),
        (_set("categories", value=None), "'categories' must be a list"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(tmp_path, burst, capsys, change, message):
    change(burst)
    (tmp_path / "all_classes.json").write_text(json.dumps(burst))
    assert message in fails(convert_burst, arguments(tmp_path), capsys)
    assert {x.name for x in tmp_path.iterdir()} == {"all_classes.json"}
