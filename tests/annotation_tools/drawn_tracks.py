"""Annotated videos for the tests of annotation tools."""

import json

import numpy as np
from PIL import Image

from maskprop_d2.evaluation import evaluate
from maskprop_d2.ops.rle import encode
from maskprop_d2.ytvis.writing import track_fields, write_annotations

HEIGHT, WIDTH = 30, 45
LENGTHS = {"cat/a": 4, "street": 3}


def draw_tracks(name, length):
    """The masks of three objects: a box that is away in frame 1, two parts and a ring that overlap
    with it, and noise."""
    random = np.random.default_rng(len(name))
    tracks = np.zeros((3, length, HEIGHT, WIDTH), bool)
    for t in range(length):
        tracks[0, t, 3:12, 4 + t : 15 + t] = t != 1
        tracks[1, t, 8 : 20 + t, 10:30] = True
        tracks[1, t, 10:14, 15:20] = False
        tracks[1, t, 11, 16] = True
        tracks[1, t, 25:27, : 3 + t] = True
        tracks[2, t, 20:30, 30:45] = random.random((10, 15)) < 0.4
    # The object appears late and leaves early.
    tracks[2, [0, -1]] = False
    return tracks


def write_video_folders(folder):
    """Write frames/VIDEO/FRAME.jpg and the annotation file ``gt.json``."""
    videos, tracks = [], []
    for video_id, (name, length) in enumerate(LENGTHS.items(), start=1):
        (folder / "frames" / name).mkdir(parents=True)
        names = [f"{name}/{t}.jpg" for t in range(length)]
        for file_name in names:
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "frames" / file_name)
        videos.append({"height": HEIGHT, "width": WIDTH, "file_names": names})
        for i, masks in enumerate(draw_tracks(name, length)):
            rles = [encode(mask) if mask.any() else None for mask in masks]
            ids = {"video_id": video_id, "category_id": 1 + i % 2}
            tracks.append({**ids, **track_fields(rles)})
    write_annotations(folder / "gt.json", videos, ["cat", "dog & <bus>"], tracks)
    return json.loads((folder / "gt.json").read_text())


def assert_same(truth, path):
    """The tracks of an annotation file have AP 100, and exactly the masks of the truth."""
    data = json.loads(path.read_text())
    videos = [(x["height"], x["width"], x["file_names"]) for x in data["videos"]]
    assert videos == [(x["height"], x["width"], x["file_names"]) for x in truth["videos"]]
    assert data["categories"] == truth["categories"]
    metrics = evaluate(truth, [{**x, "score": 0.5} for x in data["annotations"]]).as_dict()
    assert metrics["AP"] == 100 and metrics["AR10"] == 100

    def keys(annotations):
        return sorted(
            json.dumps([x["video_id"], x["category_id"], x["segmentations"]]) for x in annotations
        )

    assert keys(data["annotations"]) == keys(truth["annotations"])
