"""``maskprop validate``"""

import json
import random

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from small_videos import HEIGHT, WIDTH, square, write_data_set

from maskprop_d2.commands.validate import main
from maskprop_d2.errors import AnnotationError
from maskprop_d2.evaluation.tracks import read_videos
from maskprop_d2.ops.rle import encode
from maskprop_d2.ytvis.problems import Problem, ProblemReport
from maskprop_d2.ytvis.validation import find_problems


@pytest.fixture
def data(tmp_path):
    """The annotations of the small video, with boxes and areas; its frames are in ``tmp_path``."""
    write_data_set(tmp_path)
    data = json.loads((tmp_path / "train.json").read_text())
    for track in data["annotations"]:
        rles = track["segmentations"]
        track["areas"] = [rle and int(coco_mask.area(rle)) for rle in rles]
        track["bboxes"] = [rle and coco_mask.toBbox(rle).tolist() for rle in rles]
    return data


def validate(tmp_path, data, *options):
    """The exit status of the command."""
    (tmp_path / "train.json").write_text(json.dumps(data))
    with pytest.raises(SystemExit) as info:
        main([str(tmp_path / "train.json"), *options])
    return info.value.code


def find(data):
    report = ProblemReport()
    for problem, text in find_problems(data):
        report.add(problem, text)
    return report


def test_a_valid_dataset_has_no_problem(data, tmp_path, capsys):
    assert validate(tmp_path, data, "--images", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "1 videos, 4 frames, 2 categories, 3 annotations" in printed
    assert "kinds of problems: 0 fatal, 0 warnings" in printed


def change(path, value):
    """A function that sets the value at a path of keys and indices in the json."""

    def apply(data):
        *way, last = path
        for key in way:
            data = data[key]
        data[last] = value

    return apply


def append_copy(key, **changes):
    return lambda data: data[key].append({**data[key][0], **changes})


PIXEL = encode(np.eye(HEIGHT, WIDTH, dtype=bool) & (np.arange(WIDTH) < 3))
FRAME = encode(square(0))
TRACK = ("annotations", 0)
OUTSIDE = [[-20, 5, 10, 5, 10, 15, -20, 15]]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (change(["videos"], 3), Problem.NO_LIST),
        (change(["categories", 0, "name"], 3), Problem.BAD_CATEGORY),
        (change(["categories", 0, "id"], True), Problem.BAD_CATEGORY),
        (change(["videos", 0, "height"], 10**9), Problem.BAD_VIDEO),
        (change(["videos", 0, "file_names"], []), Problem.BAD_VIDEO),
        (change(["videos", 0], None), Problem.BAD_VIDEO),
        (change([*TRACK], []), Problem.BAD_TRACK),
        (change([*TRACK, "segmentations"], None), Problem.BAD_TRACK),
        (append_copy("annotations"), Problem.ID_TWICE),
        (append_copy("videos", file_names=["w/0.png"]), Problem.ID_TWICE),
        (change([*TRACK, "video_id"], 8), Problem.UNKNOWN_VIDEO),
        (change([*TRACK, "category_id"], [30]), Problem.UNKNOWN_CATEGORY),
        (change([*TRACK, "segmentations"], [FRAME] * 3), Problem.TRACK_LENGTH),
        (
            change([*TRACK, "segmentations", 0, "size"], [WIDTH, HEIGHT]),
            Problem.MASK_SIZE,
        ),
        (change([*TRACK, "segmentations", 0, "counts"], "?"), Problem.BAD_MASK),
        (change([*TRACK, "segmentations", 0, "counts"], [5, 10**30]), Problem.BAD_MASK),
        (change([*TRACK, "segmentations", 0], [[1, 2, 3, 4]]), Problem.BAD_MASK),
        (change([*TRACK, "areas", 0], "100"), Problem.BAD_AREAS),
        (change(["videos", 0, "file_names", 3], "../v/3.png"), Problem.OUTSIDE_ROOT),
        (change(["videos", 0, "file_names", 3], "/v/3.png"), Problem.OUTSIDE_ROOT),
        (append_copy("videos", id=8, file_names=["w/0.png"]), Problem.NO_TRACK),
        (change(["annotations"], []), Problem.NO_ANNOTATION),
        (append_copy("categories", id=31, name="circle"), Problem.UNUSED_CATEGORY),
        (change(["categories", 0, "name"], "ghost"), Problem.NAME_TWICE),
        (change(["videos", 0, "length"], 5), Problem.VIDEO_LENGTH),
        (change(["videos", 0, "file_names", 1], "v/0.png"), Problem.FRAME_TWICE),
        (change(["videos", 0, "file_names", 0], "v/9.png"), Problem.FRAME_ORDER),
        (change([*TRACK, "segmentations"], [None] * 4), Problem.EMPTY_TRACK),
        (change([*TRACK, "segmentations", 0, "counts"], [2400]), Problem.EMPTY_MASK),
        (change([*TRACK, "segmentations", 0], OUTSIDE), Problem.MASK_OUTSIDE),
        (change([*TRACK, "segmentations", 0], PIXEL), Problem.FEW_PIXELS),
        (change([*TRACK, "areas", 0], 200), Problem.WRONG_AREA),
        (change([*TRACK, "areas", 0], None), Problem.WRONG_AREA),
        (change(["annotations", 1, "areas", 0], 100), Problem.WRONG_AREA),
        (change([*TRACK, "areas"], [100] * 5), Problem.WRONG_AREA),
        (change([*TRACK, "bboxes", 1], [5, 10, 15, 20]), Problem.WRONG_BOX),
        (change([*TRACK, "bboxes", 1], [10**400] * 4), Problem.WRONG_BOX),
        (change([*TRACK, "areas", 1], -1), Problem.BAD_AREAS),
        (change([*TRACK, "iscrowd"], 2), Problem.BAD_CROWD),
        (change([*TRACK, "bboxes"], [[0, 10, 10, 10]]), Problem.WRONG_BOX),
    ],
)
def test_every_problem_is_found(data, tmp_path, capsys, edit, expected):
    edit(data)
    report = find(data)
    assert report.counts[expected] == 1
    assert validate(tmp_path, data) == int(report.fatal)
    assert expected.text in capsys.readouterr().out
    # The rest of the package fails on fatal problems and on no others.
    if expected is not Problem.OUTSIDE_ROOT:
        assert usable(data) != report.fatal


def usable(data):
    """Whether the package reads the data."""
    try:
        read_videos(data, "")
        return True
    except AnnotationError:
        return False


def test_all_problems_are_counted_and_the_first_few_are_shown(data, tmp_path, capsys):
    for t in range(4):
        data["annotations"][0]["segmentations"][t] = [[0, 0]]
    data["annotations"][1]["category_id"] = 77
    data["videos"][0]["length"] = 9
    assert validate(tmp_path, data) == 1
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split(maxsplit=2) for line in lines[1:] if not line.startswith(" ")]
    # The fatal ones first.
    assert [head[:2] for head in heads[:3]] == [["FATAL", "4"], ["FATAL", "1"], ["warning", "1"]]
    assert sum("annotation 5, video 7, frame" in line for line in lines) == 3
    last_example = next(i for i, line in enumerate(lines) if "frame 2: a polygon" in line)
    assert lines[last_example + 1].strip() == "..."


def test_frames_are_checked(data, tmp_path, capsys):
    (tmp_path / "v/0.png").unlink()
    (tmp_path / "v/1.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "v/2.png"), np.zeros((WIDTH, HEIGHT, 3), np.uint8))
    assert validate(tmp_path, data, "--images", str(tmp_path)) == 1
    printed = capsys.readouterr().out
    for problem, where in (
        (Problem.MISSING_FRAME, f"video 7, frame 0: {tmp_path}/v/0.png"),
        (Problem.BAD_FRAME, f"video 7, frame 1: {tmp_path}/v/1.png"),
        (
            Problem.FRAME_SIZE,
            f"video 7, frame 2: {tmp_path}/v/2.png has 40 x 60, not 60 x 40",
        ),
    ):
        assert f"{problem.text}\n{'':<18}{where}\n" in printed
    assert printed.count("FATAL") == 3
    assert validate(tmp_path, data) == 0


def test_the_size_of_a_rotated_photo_is_that_of_the_upright_image(data, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "v/0.jpg", exif=exif)
    assert cv2.imread(str(tmp_path / "v/0.jpg")).shape == (HEIGHT, WIDTH, 3)
    data["videos"][0]["file_names"][0] = "v/0.jpg"
    assert validate(tmp_path, data, "--images", str(tmp_path)) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"videos": [', "\x00"])
def test_an_unreadable_file_gives_one_line_and_status_2(tmp_path, capsys, text):
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(SystemExit) as info:
        main([str(tmp_path / "train.json")])
    error = capsys.readouterr().err
    assert info.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1


def test_a_missing_image_folder_gives_status_2(data, tmp_path, capsys):
    assert validate(tmp_path, data, "--images", str(tmp_path / "gone")) == 2
    assert "gone: there is no such folder" in capsys.readouterr().err


WRONG = [None, True, -1, 0, 1e400, float("nan"), 10**400, "", "x", [], [[]], {}, {"size": [1, 2]}]


def test_validation_agrees_with_reading_on_random_damage(data):
    """Values at random places are replaced. Either both report an error or none."""
    text = json.dumps(data)
    rng = random.Random(1)
    for _ in range(2000):
        damaged = json.loads(text)
        for _ in range(rng.randint(1, 3)):
            damage(damaged, rng)
        report = find(damaged)
        escapes = Problem.OUTSIDE_ROOT in report.counts
        assert escapes or report.fatal != usable(damaged), damaged


def damage(value, rng):
    """Replace a value at a random depth."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = rng.choice(keys)
        if not isinstance(value[key], dict | list) or rng.random() < 0.2:
            value[key] = rng.choice(WRONG)
            return
        value = value[key]
