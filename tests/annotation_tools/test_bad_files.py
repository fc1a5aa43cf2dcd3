"""Files that cannot be used end with one line and exit status 2, and nothing is written."""

import json
import zipfile

import pytest
from drawn_tracks import write_video_folders
from test_tool_files import CVAT, FILES, write_frames

from maskprop_d2.commands.annotations import main


def fails(capsys, *arguments):
    """The line that the command prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(x) for x in arguments])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    return error


def read_fails(capsys, tool, source, *more):
    output = source.parent / "out.json"
    error = fails(capsys, source, "--from", tool, "--output", output, *more)
    assert not output.exists()
    return error


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<annotations>", "<annotations><", "is damaged or is not xml"),
        ("task>", "other>", "is not an export of CVAT: it has no task"),
        ("<size>4", "<size>4000000", "'yard.mp4' has 4000000 frames; the limit is"),
        ("<size>4", "<size>-4", "'size' must be a whole number, not '-4'"),
        ("<width>16", "<width>99999", "frames cannot have 99999 x 12 pixels"),
        ("original_size", "other", "does not say how large the frames are: name their folder"),
        ("<name>yard.mp4", "<name>../yard", "'../yard' cannot be the folder of a video's frames"),
        ('frame="10"', 'frame="11"', "track '0', frame '11': the video has 4 frames"),
        ('frame="19"', 'frame="22"', "track '3', frame '22': the video has 4 frames"),
        ("1.00,2.00;6", "1.00;6", "track '0', frame '10': 'points' must be x,y;x,y"),
        ("1.00,2.00;6", "nan,2.00;6", "frame '10': a polygon's coordinates must be numbers"),
        ("<name>dog", "<name>cow", "track '2', frame '13': the label 'dog' is not in the list"),
        ("0, 14, 2, 14", "0, 14, 2, 15", "track '2', frame '13': the mask's runs must add up to"),
        ('left="8"', 'left="11"', "the mask's box is not in the frame of 16 x 12 pixels"),
        ('rle="0, 14', 'rle="x, 14', "'rle' must be a whole number, not 'x'"),
        ('id="0" label', 'id="0" task_id="9" label', "its task ('9') is not in the file"),
        ("polygon", "polyline", "ignored (polyline)"),
    ],
)
def test_cvat(old, new, message, tmp_path, capsys):
    text = CVAT.replace(old, new)
    if old == "polygon":
        text = text.replace("<mask", "<points").replace("</mask", "</points")
    (tmp_path / "a.xml").write_text(text)
    assert message in read_fails(capsys, "cvat", tmp_path / "a.xml")


def test_cvat_archives(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("other.xml", CVAT)
    assert "There is no item named 'annotations.xml'" in read_fails(
        capsys, "cvat", tmp_path / "a.zip"
    )
    (tmp_path / "folder").mkdir()
    assert "no annotation of CVAT" in read_fails(capsys, "cvat", tmp_path / "folder")
    write_frames(tmp_path / "frames", 3)
    (tmp_path / "a.xml").write_text(CVAT)
    error = read_fails(capsys, "cvat", tmp_path / "a.xml", "--frames", tmp_path / "frames")
    assert "frames has 3 images, but video 'yard' 4 frames" in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.pop("images"), "'images' must be a list, not None"),
        (lambda x: x["images"][0].update(height=0), "frames cannot have 16 x 0 pixels"),
        (lambda x: x["images"][0].update(height=13), "different sizes, but are of one video"),
        (lambda x: x["images"][0].update(file_name="/etc/a.jpg"), "is not in the folder"),
        (lambda x: x["images"][0].update(id=2), "two images have the same id"),
        (lambda x: x["annotations"][1].update(image_id=7), "annotation 1: its image or category"),
        (lambda x: x["annotations"][1].update(segmentation=[[1]]), "annotation 1: a polygon must"),
        (lambda x: x["annotations"][1].update(track_id="a"), "'track_id' must be a whole number"),
    ],
)
def test_coco(change, message, tmp_path, capsys):
    data = json.loads((FILES / "coco.json").read_text())
    change(data)
    (tmp_path / "c.json").write_text(json.dumps(data))
    assert message in read_fails(capsys, "coco", tmp_path / "c.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.pop("shapes"), "0.json is no file of labelme: 'shapes' must be a list"),
        (lambda x: x.update(imageHeight=None), "the file of '00000.jpg': frames cannot have"),
        (lambda x: x["shapes"][0].update(points=[[1, 2], [3]]), "'points' must be a list of"),
        (lambda x: x["shapes"][0].update(group_id="a"), "'group_id' must be a whole number"),
        (lambda x: x["shapes"][0].update(label=3), "'label' must be a text, not 3"),
        (lambda x: x["shapes"][1].update(points=[[12, 5]]), "a mask reaches out of the frame"),
        (lambda x: x["shapes"][1].update(mask="AAAA"), "a mask is not a PNG in base64"),
    ],
)
def test_labelme(change, message, tmp_path, capsys):
    data = json.loads((FILES / "labelme/00000.json").read_text())
    change(data)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0.json").write_text(json.dumps(data))
    assert message in read_fails(capsys, "labelme", tmp_path / "in")


def test_labelme_folders(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert "must be a folder with the json files" in read_fails(capsys, "labelme", tmp_path / "in")
    for name in ("0.json", "1.json"):
        (tmp_path / "in" / name).write_bytes((FILES / "labelme/00000.json").read_bytes())
    assert "are of one image" in read_fails(capsys, "labelme", tmp_path / "in")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.clear(), "there is no mask of any object"),
        (lambda x: x[0]["data"].pop("image"), "task 0: 'image' must be a text"),
        (lambda x: x[1].update(data=x[0]["data"]), "there is another task of 'yard/00000.jpg'"),
        (lambda x: x[0]["annotations"][0].pop("result"), "task 0: 'result' must be a list"),
        (lambda x: region(x, 1).update(original_width=17), "must have the same size"),
        (lambda x: region(x, 0)["value"]["rle"].pop(), "the 'rle' of a brush is cut off"),
        (lambda x: region(x, 0)["value"]["rle"].insert(0, 1), "not those of 16 x 12 pixels"),
        (lambda x: region(x, 0)["value"]["rle"].append(-1), "must be a list of bytes"),
        (lambda x: region(x, 1)["value"].update(points=[1]), "'points' must be a list of [x, y]"),
        (lambda x: region(x, 1)["value"].update(polygonlabels=[]), "must have one label, not []"),
    ],
)
def test_label_studio(change, message, tmp_path, capsys):
    data = json.loads((FILES / "label_studio.json").read_text())
    change(data)
    (tmp_path / "l.json").write_text(json.dumps(data))
    assert message in read_fails(capsys, "label-studio", tmp_path / "l.json")


def region(tasks, number):
    return tasks[0]["annotations"][0]["result"][number]


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("0 0 0 1 0 1 1", "names: 5", "data.yaml: needs 'names', such as {0: cat, 1: dog}"),
        ("0 0 0 1 0 1 1", "names: [", "data.yaml is damaged"),
        ("2 0 0 1 0 1 1", "names: [cat]", "0.txt, line 1: class 2 is not in data.yaml"),
        ("\n0 .5 .5 .1 .1", "names: [cat]", "is a box: only polygons are masks"),
        ("0 0 0 1 0 1 1 0.75", "names: [cat]", "track id must be a whole number, not '0.75'"),
        ("0 0 0 1 0 1 1 0.75 12", "names: [cat]", "write it with save_conf=False"),
        ("0 0 0 1 0 1 x", "names: [cat]", "0.txt, line 1: coordinates must be numbers"),
    ],
)
def test_yolo(text, names, message, tmp_path, capsys):
    write_frames(tmp_path / "frames/yard", 1)
    (tmp_path / "in/labels/yard").mkdir(parents=True)
    (tmp_path / "in/labels/yard/00000.txt").write_text(text)
    (tmp_path / "in/data.yaml").write_text(names)
    more = "--frames", tmp_path / "frames"
    assert message in read_fails(capsys, "yolo", tmp_path / "in", *more)


def test_yolo_folders(tmp_path, capsys):
    (tmp_path / "in/labels/yard").mkdir(parents=True)
    assert "add --frames FOLDER" in read_fails(capsys, "yolo", tmp_path / "in")
    more = "--frames", tmp_path / "frames"
    error = read_fails(capsys, "yolo", tmp_path / "in", *more)
    assert "data.yaml: there is no such file: write one with the names" in error
    (tmp_path / "in/data.yaml").write_text("names: [cat]")
    assert "labels has no .txt" in read_fails(capsys, "yolo", tmp_path / "in", *more)
    write_frames(tmp_path / "frames/yard", 1)
    (tmp_path / "in/labels/yard/00001.txt").write_text("")
    error = read_fails(capsys, "yolo", tmp_path / "in", *more)
    assert "00001.txt: there is no such frame in" in error


def test_arguments(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_video_folders(tmp_path)
    for arguments, message in (
        (("gt.json", "--to", "coco", "--output", "c"), "--output c must be a .json file"),
        (("gt.json", "--to", "cvat", "--output", "c.xml"), "a CVAT file holds one video"),
        (("gt.json", "--to", "labelme", "--output", "frames"), "frames exists: name a new folder"),
        (("gone.json", "--to", "coco", "--output", "c.json"), "gone.json: there is no such file"),
        (("gone", "--from", "coco", "--output", "c.json"), "gone: there is no such file"),
        (("gt.json", "--from", "coco", "--output", "gt.json"), "is what is read"),
        (("gt.json", "--to", "coco", "--output", "gt.json"), "is what is read"),
        (("gt.json", "--from", "coco", "--output", "c.txt"), "must be a .json file"),
    ):
        assert message in fails(capsys, *arguments)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["frames", "gt.json"]


def test_videos_that_tools_cannot_tell_apart(tmp_path, capsys):
    truth = write_video_folders(tmp_path)
    options = "--to", "coco", "--output", tmp_path / "c.json"
    first, second = (video["file_names"] for video in truth["videos"])
    for a, b, message in (
        (first, [f"cat/a/s{t}.jpg" for t in range(3)], "2 videos have their frames in the folder"),
        (["x/0.jpg", *first[1:]], second, "video 1 has frames in several folders"),
        ([x.replace("/", "\\") for x in first], second, "write / between folders"),
    ):
        truth["videos"][0]["file_names"], truth["videos"][1]["file_names"] = a, b
        (tmp_path / "t.json").write_text(json.dumps(truth))
        assert message in fails(capsys, tmp_path / "t.json", *options)


def test_cvat_exports_of_one_video(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video_folders(tmp_path)
    main(["gt.json", "--to", "cvat", "--output", "cvat"])
    first = next(iter((tmp_path / "cvat").glob("*.xml")))
    (tmp_path / "cvat/again.xml").write_bytes(first.read_bytes())
    assert "another file with a task" in read_fails(capsys, "cvat", tmp_path / "cvat")


def test_results_that_do_not_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    truth = write_video_folders(tmp_path)
    entry = {**truth["annotations"][0], "score": 0.5}
    options = "--to", "coco", "--output", "c.json"
    for entries, more, message in (
        ([], [], "no track has a mask"),
        ([entry], [], "name the file that does with --annotations"),
        ([entry | {"video_id": 9}], ["--annotations", "gt.json"], "is not in gt.json"),
        ([entry | {"video_id": 2}], ["--annotations", "gt.json"], "4 masks or nulls for the 3"),
        ([entry | {"category_name": "cat"}], ["--frames", "frames/street"], "has 3 images, but"),
        ([entry | {"segmentations": 3}], [], "r.json: entry 0: 'segmentations' must be a list"),
    ):
        (tmp_path / "r.json").write_text(json.dumps(entries))
        assert message in fails(capsys, "r.json", *options, *more)
    assert not (tmp_path / "c.json").exists()
