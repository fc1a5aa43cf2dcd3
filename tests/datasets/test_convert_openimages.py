"""Converting Open Images masks to videos of one frame."""

import json

import cv2
import numpy as np
import pytest
from convert_openimages import main as convert_openimages
from test_converters import check_round_trip, fails

from maskprop_d2.ops.rle import decode

HEIGHT, WIDTH = 48, 64
HEADER = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
DOG, CAT, MAN = "/m/0bt9lr", "/m/01yrx", "/m/04yx4"
CLASSES = f"{CAT},Cat\n{MAN},Man\n{DOG},Dog\n"


def draw(x, size=(HEIGHT, WIDTH)):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8:24, x : x + 16] = 255
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)


@pytest.fixture
def files(tmp_path):
    """Two images with masks of the same size, larger and smaller, in two folders. One object has no
    mask, one has no image, and one has a mask of another aspect ratio."""
    for folder in ("images", "masks/train-masks-0", "masks/train-masks-f"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("0a1", "f2b"):
        cv2.imwrite(str(tmp_path / f"images/{name}.jpg"), draw(8))
    objects = [
        ("0a1", DOG, "11", draw(8)),
        ("f2b", MAN, "22", draw(40, (2 * HEIGHT, 2 * WIDTH))),
        ("0a1", CAT, "33", draw(40, (HEIGHT // 2, WIDTH // 2))),
        ("0a1", CAT, "44", None),
        ("0a1", CAT, "55", draw(8, (WIDTH, HEIGHT))),
        ("0a1", CAT, "66", draw(WIDTH)),
        ("c00", CAT, "77", draw(8)),
    ]
    rows = []
    for image, label, box, mask in objects:
        name = f"{image}_{label.replace('/', '')}_{box}.png"
        rows.append(f"{name},{image},{label},{box},0.1,0.3,0.2,0.5,0.8,0.2 0.3 1;0.5 0.1 0")
        if mask is not None:
            folder = "train-masks-f" if image[0] == "f" else "train-masks-0"
            cv2.imwrite(str(tmp_path / "masks" / folder / name), mask)
    (tmp_path / "masks.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (tmp_path / "classes.csv").write_text(CLASSES)
    return tmp_path


def arguments(files, *more):
    names = {"csv": "masks.csv", "classes": "classes.csv", "masks": "masks", "images": "images"}
    names["output"] = "out.json"
    return [*(x for k, v in names.items() for x in (f"--{k}", str(files / v))), *more]


# The header is there since version 6.
@pytest.mark.parametrize("header", ["", "LabelName,DisplayName\n"])
def test_round_trip(files, capsys, header):
    (files / "classes.csv").write_text(header + CLASSES)
    convert_openimages(arguments(files))
    printed = capsys.readouterr().out
    for why, box in (
        ("their mask is missing", "01yrx_44"),
        ("their mask has another aspect ratio than the image", "01yrx_55"),
        ("their mask has no pixel", "01yrx_66"),
        ("their image is missing", "01yrx_77"),
    ):
        assert f"skipped 1 objects because {why}, for example " in printed
        assert f"{box}.png" in printed
    data = check_round_trip(files / "out.json", files / "images")
    assert [x["name"] for x in data["categories"]] == ["Cat", "Man", "Dog"]
    videos = [(x["file_names"], x["height"], x["width"]) for x in data["videos"]]
    assert videos == [(["0a1.jpg"], HEIGHT, WIDTH), (["f2b.jpg"], HEIGHT, WIDTH)]
    tracks = [(x["video_id"], x["category_id"]) for x in data["annotations"]]
    assert tracks == [(1, 3), (1, 1), (2, 2)]
    masks = [decode(x["segmentations"][0]) for x in data["annotations"]]
    assert all((mask == (draw(x) > 0)).all() for mask, x in zip(masks, (8, 40, 40), strict=True))


def test_the_categories_of_another_data_set(files, capsys):
    categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 17, "name": "cat"}]
    (files / "coco.json").write_text(json.dumps({"images": [], "categories": categories}))
    like = ["--like", str(files / "coco.json")]
    convert_openimages(arguments(files, *like))
    assert "skipped 1 objects because their category is not in --like" in capsys.readouterr().out
    data = check_round_trip(files / "out.json", files / "images")
    assert [x["name"] for x in data["categories"]] == ["person", "cat", "dog"]
    assert [(x["video_id"], x["category_id"]) for x in data["annotations"]] == [(1, 3), (1, 2)]
    (files / "classes.csv").write_text(CLASSES.replace("Man", "Person"))
    convert_openimages(arguments(files, *like))
    data = check_round_trip(files / "out.json", files / "images")
    assert [x["category_id"] for x in data["annotations"]] == [3, 2, 1]


def test_bad_input_gives_one_line(files, capsys):
    def error(*more):
        return fails(convert_openimages, arguments(files, *more), capsys)

    (files / "like.json").write_text('{"categories": [{"id": 1}]}')
    assert "like.json: category 1 needs a 'name'" in error("--like", str(files / "like.json"))
    text = (files / "masks.csv").read_text()
    for wrong, message in (
        (text.replace("MaskPath", "Mask"), "must have the columns MaskPath, ImageID, LabelName"),
        ("", "must have the columns"),
        (text[:-40], "object 7 has"),
        (text.replace(DOG, "/m/x"), "classes.csv does not have /m/x of"),
        (HEADER + "\n", "no object has an image, a mask and a category"),
    ):
        (files / "masks.csv").write_text(wrong)
        assert message in error()
    (files / "masks.csv").write_bytes(b"\xff\xfe" + text.encode())
    assert "masks.csv is not a csv file" in error()
    (files / "masks.csv").write_text(text)
    (files / "classes.csv").write_text("Dog\n")
    assert "each row must be a label and a name" in error()
    (files / "classes.csv").write_text(CLASSES)
    mask = next((files / "masks/train-masks-0").iterdir())
    mask.write_text("")
    assert f"{mask} is not an image" in error()
    (files / "masks").rename(files / "gone")
    assert "masks: there is no such folder" in error()
    assert not list(files.glob("out.json*"))
