"""Files that the tools' own libraries wrote, or that follow their documents.

In ``files``: ``cvat_images.xml`` and ``coco.json`` by datumaro 1.13.12, ``labelme`` by labelme
6.3.1, the brush masks of ``label_studio.json`` by label-studio-sdk 2.1.2, and ``yolo/labels`` by
``save_txt`` of Ultralytics. All show the same two objects: a moving box and a box with a hole.
"""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskprop_d2.commands.annotations import main
from maskprop_d2.ops.rle import decode

FILES = Path(__file__).parent / "files"
HEIGHT, WIDTH = 12, 16


def draw(t):
    """The masks of both objects in frame t."""
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    masks[0, 2:6, 1 + t : 6 + t] = True
    masks[1, 5:10, 8:14] = True
    masks[1, 7, 10] = False
    return masks


def convert(tool, source, folder, *more):
    """Convert to YouTube-VIS; returns the file names and the masks by category."""
    output = folder / "out.json"
    main([str(source), "--from", tool, "--output", str(output), *map(str, more)])
    data = json.loads(output.read_text())
    (video,) = data["videos"]
    names = {x["id"]: x["name"] for x in data["categories"]}
    masks = {
        names[x["category_id"]]: [m and decode(m) for m in x["segmentations"]]
        for x in data["annotations"]
    }
    assert len(masks) == len(data["annotations"]) == 2
    return video["file_names"], masks


@pytest.mark.parametrize(
    ("tool", "name", "folder"),
    [
        ("cvat", "cvat_images.xml", "yard"),
        ("coco", "coco.json", "yard"),
        ("label-studio", "label_studio.json", "yard"),
        ("labelme", "labelme", None),
    ],
)
def test_tool_file(tool, name, folder, tmp_path, capsys):
    file_names, masks = convert(tool, FILES / name, tmp_path)
    prefix = f"{folder}/" if folder else ""
    assert file_names == [f"{prefix}{t:05d}.jpg" for t in range(2)]
    for t in range(2):
        assert (masks["cat"][t] == draw(t)[0]).all() and (masks["dog"][t] == draw(t)[1]).all()
    printed = capsys.readouterr().out
    if tool == "labelme":
        assert "2 shapes that are no masks were ignored ('point')" in printed
    if tool == "label-studio":
        assert "2 regions that are no masks were ignored ('rectanglelabels')" in printed
        assert "1 tasks have neither an annotation nor a prediction" in printed


def write_frames(folder, length):
    folder.mkdir(parents=True)
    for t in range(length):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{t:05d}.jpg")


def test_yolo_track_save_txt(tmp_path):
    write_frames(tmp_path / "frames/yard", 3)
    shutil.copytree(FILES / "yolo", tmp_path / "yolo")
    (tmp_path / "yolo/data.yaml").write_text("names: [cat, dog]")
    more = ["--frames", tmp_path / "frames"]
    file_names, masks = convert("yolo", tmp_path / "yolo", tmp_path, *more)
    # A frame without a file has no objects.
    assert file_names == [f"yard/{t:05d}.jpg" for t in range(3)]
    assert masks["cat"][2] is None and masks["dog"][2] is None
    for t in range(2):
        # Ultralytics outlines the centres of pixels, and no holes.
        expected = np.zeros((2, HEIGHT, WIDTH), bool)
        expected[0, 2:5, 1 + t : 5 + t] = True
        expected[1, 5:9, 8:13] = True
        assert (masks["cat"][t] == expected[0]).all() and (masks["dog"][t] == expected[1]).all()


UPPER = "1.00,2.00;6.00,2.00;6.00,4.00;1.00,4.00"
LOWER = "1.00,4.00;6.00,4.00;6.00,6.00;1.00,6.00"
CVAT = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>5</id><name>yard.mp4</name><size>4</size><mode>interpolation</mode>
      <start_frame>10</start_frame><stop_frame>19</stop_frame><frame_filter>step=3</frame_filter>
      <labels>
        <label><name>cat</name><type>any</type><attributes></attributes></label>
        <label><name>dog</name><type>any</type></label>
        <label><name>body</name><type>skeleton</type></label>
        <label><name>1</name><type>points</type><parent>body</parent></label>
      </labels>
      <original_size><width>16</width><height>12</height></original_size>
    </task>
    <dumped>2026-01-01 00:00:00</dumped>
    <source>yard.mp4</source>
  </meta>
  <track id="0" label="cat" source="manual" group_id="3">
    <polygon frame="10" keyframe="1" outside="0" occluded="1" points="{UPPER}" z_order="0">
      <attribute name="a">b</attribute>
    </polygon>
    <polygon frame="13" keyframe="0" outside="0" occluded="0" points="{UPPER}" z_order="0"/>
    <polygon frame="16" keyframe="1" outside="1" occluded="0" points="{UPPER}" z_order="0"/>
  </track>
  <track id="1" label="cat" source="manual" group_id="3">
    <polygon frame="13" keyframe="1" outside="0" occluded="0" points="{LOWER}" z_order="0"/>
  </track>
  <track id="2" label="dog" source="file" group_id="4">
    <mask frame="13" keyframe="1" outside="0" occluded="0" rle="0, 14, 2, 14" left="8" top="5" \
width="6" height="5" z_order="0"></mask>
    <mask frame="16" keyframe="1" outside="1" occluded="0" rle="0, 14, 2, 14" left="8" top="5" \
width="6" height="5" z_order="0"></mask>
  </track>
  <track id="3" label="dog" source="file" group_id="4">
    <mask frame="19" keyframe="1" outside="0" occluded="0" rle="30" left="8" top="5" width="6" \
height="5" z_order="0"></mask>
    <mask frame="19" keyframe="1" outside="0" occluded="0" rle="0, 14, 2, 14" left="8" top="5" \
width="6" height="5" z_order="0"></mask>
  </track>
  <track id="4" label="dog" source="manual">
    <box frame="10" outside="0" occluded="1" keyframe="1" xtl="3.00" ytl="4.00" xbr="10.00" \
ybr="5.00" z_order="0"></box>
  </track>
  <track id="5" label="body" source="manual">
    <skeleton frame="10" keyframe="1" z_order="0">
      <points label="1" keyframe="1" outside="0" occluded="0" points="4.1,5.2"></points>
    </skeleton>
  </track>
</annotations>
"""


def test_cvat_for_video(tmp_path, capsys):
    """As CVAT's exporter writes it: frames counted in the video, a group for the parts of an
    object, masks as tracks of one frame that end with a shape outside."""
    (tmp_path / "annotations.xml").write_text(CVAT)
    file_names, masks = convert("cvat", tmp_path / "annotations.xml", tmp_path)
    assert file_names == [f"yard/{t:05d}.jpg" for t in range(4)]
    upper, lower = np.zeros((2, HEIGHT, WIDTH), bool)
    upper[2:4, 1:6] = lower[4:6, 1:6] = True
    cat, dog = masks["cat"], masks["dog"]
    assert (cat[0] == upper).all() and (cat[1] == upper | lower).all() and cat[2:] == [None] * 2
    ring = np.zeros((HEIGHT, WIDTH), bool)
    ring[5:10, 8:14] = True
    ring.ravel()[[7 * WIDTH + 10, 7 * WIDTH + 11]] = False
    assert dog[0] is None and dog[2] is None and (dog[1] == ring).all() and (dog[3] == ring).all()
    printed = capsys.readouterr().out
    for kind in ("box", "skeleton"):
        assert f"1 shapes that are no masks were ignored ({kind})" in printed
    categories = json.loads((tmp_path / "out.json").read_text())["categories"]
    assert [x["name"] for x in categories] == ["cat", "dog"]
    # As it is downloaded, and with the names of the frames.
    with zipfile.ZipFile(tmp_path / "task.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "annotations.xml", "annotations.xml")
    write_frames(tmp_path / "frames", 4)
    more = ["--frames", tmp_path / "frames"]
    file_names, zipped = convert("cvat", tmp_path / "task.zip", tmp_path, *more)
    assert file_names == [f"{t:05d}.jpg" for t in range(4)]
    assert (zipped["dog"][3] == ring).all()


def test_cvat_project(tmp_path):
    """The tracks of a project name their task."""
    start, end = CVAT.index("<task>"), CVAT.index("</task>") + len("</task>")
    task = CVAT[start:end]
    other = task.replace("<id>5<", "<id>6<").replace("yard.mp4", "street")
    tasks = f"<project><name>p</name><tasks>{task}{other}</tasks></project>"
    text = CVAT.replace(task, tasks).replace(' source="', ' task_id="6" source="')
    (tmp_path / "annotations.xml").write_text(text)
    output = str(tmp_path / "o.json")
    main([str(tmp_path / "annotations.xml"), "--from", "cvat", "--output", output])
    data = json.loads((tmp_path / "o.json").read_text())
    assert [x["file_names"][0] for x in data["videos"]] == ["yard/00000.jpg", "street/00000.jpg"]
    assert [x["video_id"] for x in data["annotations"]] == [2, 2]


def test_objects_without_an_id_are_tracks_of_one_frame(tmp_path, capsys):
    data = json.loads((FILES / "coco.json").read_text())
    for entry in data["annotations"]:
        del entry["attributes"]
    (tmp_path / "coco.json").write_text(json.dumps(data))
    output = str(tmp_path / "o.json")
    main([str(tmp_path / "coco.json"), "--from", "coco", "--output", output])
    assert "4 masks have no 'track_id': each is a track of one frame" in capsys.readouterr().out
    tracks = json.loads((tmp_path / "o.json").read_text())["annotations"]
    assert [sum(m is not None for m in x["segmentations"]) for x in tracks] == [1] * 4
