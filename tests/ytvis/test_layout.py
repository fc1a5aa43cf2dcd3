"""Finding the files of datasets in the layouts that are in use."""

import re

import pytest

from maskprop_d2.errors import AnnotationError
from maskprop_d2.ytvis.layout import find_split


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


@pytest.mark.parametrize(
    ("split", "json_file", "frame"),
    [
        # YouTube-VIS 2019 as released and in Mask2Former.
        ("train", "train.json", "train/JPEGImages/0043f083b5/00000.jpg"),
        ("val", "valid.json", "valid/JPEGImages/00f88c4f0a/00000.jpg"),
        ("test", "test.json", "test/JPEGImages/0065a4b3e3/00000.jpg"),
        ("train", "train.json", "train_all_frames/JPEGImages/0043f083b5/00000.jpg"),
        # YouTube-VIS 2021 as released.
        ("val", "valid/instances.json", "valid/JPEGImages/00f88c4f0a/00000.jpg"),
        # MaskTrack R-CNN, VisTR, VNext.
        ("train", "annotations/instances_train_sub.json", "train/JPEGImages/0043f083b5/00000.jpg"),
        ("val", "annotations/instances_val_sub.json", "val/JPEGImages/00f88c4f0a/00000.jpg"),
        ("train", "annotations/train.json", "train/JPEGImages/0043f083b5/00000.jpg"),
        # OVIS as released and in other code.
        ("train", "annotations_train.json", "train/2592a32c/img_0000001.jpg"),
        ("val", "annotations_valid.json", "valid/0a1e8e9d/img_0000001.jpg"),
        ("test", "annotations_test.json", "Images/test/4fc6a9a6/img_0000001.jpg"),
        # LV-VIS as released and in other code.
        ("train", "Annotations/train_instances.json", "JPEGImages/train/00000/00000.jpg"),
        ("val", "val_instances.json", "val/JPEGImages/00000/00000.jpg"),
        # UVO as released, with the frames that its script extracts; without categories.
        (
            "val",
            "VideoDenseSet/UVO_video_val_dense_with_label.json",
            "uvo_videos_dense_frames/00cwEcZZcu4/0.png",
        ),
        (
            "train",
            "VideoDenseSet/UVO_video_train_dense.json",
            "uvo_videos_dense_frames/WQ_BRu7ZCf4/0.png",
        ),
        # BURST, converted, with the frames as in TAO's archives.
        ("val", "val.json", "frames/val/YFCC100M/frame0001.jpg"),
        # Our split of the training videos.
        ("val_split", "val_split.json", "train/JPEGImages/0043f083b5/00000.jpg"),
        ("train_split", "train_split.json", "train/2592a32c/img_0000001.jpg"),
    ],
)
def test_every_layout_is_found(tmp_path, split, json_file, frame):
    # Files of the other splits must not be taken.
    own = {"val": "valid", "val_split": "train", "train_split": "train"}.get(split, split)
    for other in {"train", "valid", "test"} - {own}:
        for name in (json_file, frame):
            touch(tmp_path, re.sub("train|valid|val|test", other, name, count=1))
    touch(tmp_path, json_file, frame)
    root = str((tmp_path / frame).parents[1])
    assert find_split(tmp_path, split) == (str(tmp_path / json_file), root)


def test_the_annotated_validation_set_of_ovis_comes_first(tmp_path):
    touch(tmp_path, "annotations_valid.json", "valid/0a1e8e9d/img_0000001.jpg")
    assert find_split(tmp_path, "val")[0] == str(tmp_path / "annotations_valid.json")
    touch(tmp_path, "validGT.json")
    assert find_split(tmp_path, "val")[0] == str(tmp_path / "validGT.json")


def test_the_error_names_what_was_tried_and_what_is_there(tmp_path):
    with pytest.raises(AnnotationError, match=r"gone does not hold.*there is no such folder"):
        find_split(tmp_path / "gone", "train")
    touch(tmp_path, "train.json", "Train/JPEGImages/v/0.jpg")
    with pytest.raises(AnnotationError) as info:
        find_split(tmp_path, "val")
    message = str(info.value)
    assert "'val' annotations: looked for validGT.json, valGT.json" in message
    assert "the folder holds Train/, train.json" in message
    assert "datasets/README.md" in message and "\n" not in message
    with pytest.raises(AnnotationError, match=r"images of train\.json: looked for train/JPEGIm"):
        find_split(tmp_path, "train")
    with pytest.raises(AnnotationError, match=r"split_ytvis\.py makes it"):
        find_split(tmp_path, "val_split")
