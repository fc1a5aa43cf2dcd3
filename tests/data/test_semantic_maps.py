"""Semantic maps: drawn from masks, read from files, transformed with their frames."""

import cv2
import numpy as np
import pytest
from detectron2.data import transforms as T
from small_videos import HEIGHT, WIDTH, square, write_data_set

from maskprop_d2.data.augmentation import AffineWarp
from maskprop_d2.data.mapper import ClipMapper
from maskprop_d2.data.records import image_as_video, load_ytvis_json
from maskprop_d2.data.semantic import draw_semantic_map, read_semantic_map, transform_semantic_map
from maskprop_d2.engine import load_config
from maskprop_d2.errors import AnnotationError, InputError
from maskprop_d2.ops.rle import encode
from maskprop_d2.structures import IGNORED

TINY = "configs/moving_shapes/maskprop_tiny.yaml"
SEMANTIC = "MODEL.MASKPROP.SEMANTIC"


def config(*options):
    return load_config(TINY, ["MODEL.ROI_HEADS.NUM_CLASSES", 2, *options])


@pytest.fixture
def record(tmp_path):
    write_data_set(tmp_path)
    (record,) = load_ytvis_json(str(tmp_path / "train.json"), str(tmp_path), tmp_path.name)
    return record


def annotation(category, mask, crowd=0):
    return {"category_id": category, "segmentation": encode(mask), "iscrowd": crowd}


def test_small_objects_are_drawn_over_large_ones_and_crowds_ignored():
    small, large, crowd = (np.zeros((20, 20), bool) for _ in range(3))
    small[8:10, 8:10], large[5:15, 5:15], crowd[:, :10] = True, True, True
    objects = [annotation(0, small), annotation(1, large), annotation(1, crowd, crowd=1)]
    video = {"height": 20, "width": 20, "annotations": [[], objects]}
    classes = draw_semantic_map(video, 1, background=2)
    assert classes.dtype == np.uint8
    assert (classes[small] == 0).all()
    assert (classes[large & ~small] == 1).all()
    assert (classes[crowd & ~large] == IGNORED).all()
    assert (classes[~crowd & ~large] == 2).all()
    assert (draw_semantic_map(video, 0, background=2) == 2).all()


def test_pixels_from_outside_the_image_are_ignored():
    classes = np.full((20, 20), 3, np.uint8)
    classes[:10] = IGNORED
    shift = AffineWarp(np.array([[1.0, 0, 5], [0, 1, 0]]), np.zeros(2))
    moved = transform_semantic_map(classes, T.TransformList([shift, T.HFlipTransform(20)]))
    assert (moved[:, 15:] == IGNORED).all() and (moved[:10] == IGNORED).all()
    assert (moved[10:, :15] == 3).all()


@pytest.mark.parametrize(("enabled", "partners"), [(False, True), (True, True), (True, False)])
def test_frames_have_maps_only_if_the_model_needs_them(record, enabled, partners):
    options = ["INPUT.RANDOM_FLIP", "horizontal", "INPUT.SAMPLING_FRAME_NUM", 3]
    options += ["MODEL.MASKPROP.TRAIN_ON_PARTNER", partners]
    mapper = ClipMapper(config(f"{SEMANTIC}.ENABLED", enabled, *options))
    np.random.seed(0)
    for t in range(4):
        for i, frame in enumerate(mapper({"video": record, "frame": t})["clip"]):
            needed = enabled and (partners or i == 0)
            assert ("sem_seg" in frame) == needed
            if not needed:
                continue
            classes = frame["sem_seg"]
            assert classes.shape == frame["image"].shape[1:]
            # The red square has category 1.
            assert ((frame["image"][0] > 128) == (classes == 1)).float().mean() > 0.97
            # The other object is only visible in frame 1.
            assert (classes == 0).any().item() == (frame["frame"] == 1)
            assert set(classes.unique().tolist()) <= {0, 1, 2}


def test_a_frozen_detector_needs_no_maps(record):
    frozen = config(f"{SEMANTIC}.ENABLED", True, "SOLVER.FROZEN", ["detector"])
    assert "sem_seg" not in ClipMapper(frozen)({"video": record, "frame": 0})["clip"][0]


def test_maps_in_files(tmp_path):
    classes = np.full((HEIGHT, WIDTH), 7, np.uint8)
    classes[square(2)], classes[:3] = 4, IGNORED
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[square(2)] = 255
    cv2.imwrite(str(tmp_path / "map.png"), classes)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    video = image_as_video(
        {
            "file_name": str(tmp_path / "image.png"),
            "sem_seg_file_name": str(tmp_path / "map.png"),
            "height": HEIGHT,
            "width": WIDTH,
            "annotations": [annotation(0, square(2))],
        },
        "stuff",
    )
    assert (read_semantic_map(video, 0, num_classes=8) == classes).all()
    cfg = config(f"{SEMANTIC}.ENABLED", True, f"{SEMANTIC}.NUM_CLASSES", 8)
    frame = ClipMapper(cfg)({"video": video, "frame": 0})["clip"][0]
    assert set(frame["sem_seg"].unique().tolist()) == {4, 7, IGNORED}
    assert ((frame["image"][0] > 128) == (frame["sem_seg"] == 4)).float().mean() > 0.98
    with pytest.raises(AnnotationError, match=r"map\.png has the semantic class 7, but .* is 7"):
        read_semantic_map(video, 0, num_classes=7)
    with pytest.raises(AnnotationError, match=r"of shape \(40, 60\): .*\(41, 60\)"):
        read_semantic_map({**video, "height": 41}, 0, num_classes=8)
    (tmp_path / "map.png").write_bytes((tmp_path / "map.png").read_bytes()[:-20])
    with pytest.raises(AnnotationError, match=r"is not a semantic map: .*is truncated"):
        read_semantic_map(video, 0, num_classes=8)
    (tmp_path / "map.png").unlink()
    with pytest.raises(AnnotationError, match=r"is not a semantic map: .*is missing"):
        read_semantic_map(video, 0, num_classes=8)


def test_missing_maps_are_an_error(record):
    cfg = config(f"{SEMANTIC}.ENABLED", True, f"{SEMANTIC}.NUM_CLASSES", 8)
    with pytest.raises(AnnotationError, match=r"video 7 has no semantic maps.*NUM_CLASSES 0"):
        ClipMapper(cfg)({"video": record, "frame": 0})


def test_too_many_classes_are_refused():
    with pytest.raises(InputError, match="a semantic branch with 1204 classes"):
        ClipMapper(config(f"{SEMANTIC}.ENABLED", True, "MODEL.ROI_HEADS.NUM_CLASSES", 1203))
