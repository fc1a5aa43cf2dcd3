"""Still images: Detectron2's datasets as training clips, and random warps."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from small_videos import HEIGHT, WIDTH, square, write_data_set

from maskprop_d2.data import build_test_loader, build_train_loader
from maskprop_d2.data.augmentation import AffineWarp, build_image_warp, draw_warp, line_kernel
from maskprop_d2.data.loaders import load_records
from maskprop_d2.data.records import image_as_video
from maskprop_d2.engine import load_config
from maskprop_d2.errors import AnnotationError
from maskprop_d2.ops.rle import decode, to_rle

TINY = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"


@pytest.fixture
def coco(tmp_path):
    """A registered COCO dataset: two images with a square, a crowd and a box without a mask."""
    crowd = {"size": [HEIGHT, WIDTH], "counts": [30, 300, HEIGHT * WIDTH - 330]}
    images, annotations = [], []
    for i in (3, 8):
        x = 5 * i
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[10:20, x : x + 10] = (0, 0, 255)
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
        images.append({"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH})
        polygon = [[x, 10, x + 10, 10, x + 10, 20, x, 20]]
        annotations += [
            {"image_id": i, "category_id": 30, "segmentation": polygon, "iscrowd": 0},
            {"image_id": i, "category_id": 20, "segmentation": crowd, "iscrowd": 1},
            {"image_id": i, "category_id": 20, "iscrowd": 0},
        ]
    images.append({"id": 9, "file_name": "9.png", "height": HEIGHT, "width": WIDTH})
    for i, annotation in enumerate(annotations, start=1):
        annotation.update(id=i, bbox=[1, 2, 3, 4])
    categories = [{"id": 20, "name": "ghost"}, {"id": 30, "name": "square"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(data))
    name = f"coco_{tmp_path.name}"
    register_coco_instances(name, {}, str(tmp_path / "coco.json"), str(tmp_path))
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def config(*names, **options):
    more = {"MODEL.ROI_HEADS.NUM_CLASSES": 2, "DATALOADER.NUM_WORKERS": 0, "DATASETS.TRAIN": names}
    more.update({"INPUT.MIN_SIZE_TRAIN": (HEIGHT,), "INPUT.MIN_SIZE_TRAIN_SAMPLING": "choice"})
    return load_config(str(TINY), [str(x) for pair in (more | options).items() for x in pair])


def test_an_image_is_a_video_of_one_frame(coco, tmp_path):
    record, _, empty = (image_as_video(x, coco) for x in load_records(config(coco), coco))
    assert (record["video_id"], record["height"], record["width"]) == (3, HEIGHT, WIDTH)
    assert record["length"] == 1 and record["file_names"] == [str(tmp_path / "3.png")]
    objects, crowd = record["annotations"][0]
    assert (objects["category_id"], objects["iscrowd"]) == (1, 0)
    assert (decode(to_rle(objects["segmentation"], HEIGHT, WIDTH)) == square(3)).all()
    assert (crowd["category_id"], crowd["iscrowd"]) == (0, 1)
    assert decode(to_rle(crowd["segmentation"], HEIGHT, WIDTH)).sum() == 300
    assert empty["annotations"] == [[]]
    with pytest.raises(AnnotationError, match=r"'x' has an image without height and width: a\.jpg"):
        image_as_video({"file_name": "a.jpg"}, "x")


def test_image_data_sets_give_training_clips(coco):
    loader = iter(build_train_loader(config(coco, **{"INPUT.SAMPLING_FRAME_NUM": 4})))
    clips = [clip for _ in range(3) for clip in next(loader)]
    # Without the image that has no object.
    assert {clip["video_id"] for clip in clips} == {3, 8}
    for clip in clips:
        key, *copies = clip["clip"]
        assert key["instances"].gt_classes.tolist() == [1]
        red = key["image"][0] > 128
        assert (red == key["instances"].gt_masks.tensor[0]).float().mean() > 0.98
        assert len(copies) == 3 and len({x["image"].numpy().tobytes() for x in copies}) == 3
        for copy in copies:
            mask = copy["instances"].gt_masks.tensor.any(0)
            assert ((copy["image"][0] > 128) == mask).float().mean() > 0.95
            assert set(copy["instances"].gt_ids.tolist()) <= set(key["instances"].gt_ids.tolist())


def test_images_and_videos_can_be_combined(coco, tmp_path):
    write_data_set(tmp_path / "videos")
    name = f"videos_{tmp_path.name}"
    entry = [name, str(tmp_path / "videos/train.json"), str(tmp_path / "videos")]
    cfg = config(coco, name, **{"DATASETS.REGISTER": [entry]})
    loader = iter(build_train_loader(cfg))
    clips = [clip for _ in range(10) for clip in next(loader)]
    assert {clip["video_id"] for clip in clips} == {3, 7, 8}


def test_unusable_data_sets_are_refused(coco, tmp_path):
    with pytest.raises(AnnotationError, match=r"has images, but DATASETS\.TEST needs videos"):
        build_test_loader(config(), coco)
    (tmp_path / "coco.json").unlink()
    with pytest.raises(AnnotationError, match=r"cannot be read: .*coco\.json.*DETECTRON2_DATASETS"):
        build_train_loader(config(coco))


def test_a_warp_maps_points_pixels_and_masks_equally():
    angle = np.deg2rad(30)
    linear = 1.2 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([WIDTH, HEIGHT]) / 2
    warp = AffineWarp(np.column_stack([linear, middle - linear @ middle + (3, -2)]), np.zeros(2))
    mask = square(4).astype(np.uint8)
    warped = warp.apply_segmentation(mask)
    assert warped.dtype == np.uint8 and warped.sum() == pytest.approx(1.44 * mask.sum(), rel=0.05)
    (point,) = warp.apply_coords(np.array([[25.0, 15.0]]))
    y, x = np.nonzero(warped)
    assert np.allclose(point, [x.mean() + 0.5, y.mean() + 0.5], atol=0.1)
    image = np.repeat(mask[..., None] * 200, 3, axis=2)
    assert ((warp.apply_image(image)[..., 0] > 100) == warped).mean() > 0.99


def test_pixels_from_outside_have_the_mean_colour_and_no_object():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:10], image[10:] = (0, 50, 100), (100, 150, 200)
    warp = AffineWarp(np.array([[1.0, 0, 5], [0, 1, 0]]), np.zeros(2))
    assert (warp.apply_image(image)[:, :5] == (50, 100, 150)).all()
    assert (warp.apply_image(image)[:, 5:] == image[:, :15]).all()
    mask = np.ones((20, 20), np.uint8)
    assert (warp.apply_segmentation(mask)[:, :5] == 0).all()
    assert (warp.apply_segmentation(mask)[:, 5:] == 1).all()


def test_blur_follows_the_movement():
    image = np.zeros((21, 21, 3), np.uint8)
    image[10, 10] = 250
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    blurred = AffineWarp(still, np.array([4.0, 0])).apply_image(image)[..., 0].astype(int)
    assert blurred.sum() == blurred[10].sum() == pytest.approx(250, abs=5)
    # 1/4 of the movement is in each pixel, 1/8 at both ends.
    assert blurred[10, 7:14].tolist() == pytest.approx([0, 31, 62, 62, 62, 31, 0], abs=9)
    assert line_kernel(np.zeros(2)).tolist() == [[1.0]]
    kernel = line_kernel(np.array([-3.0, 3.0]))
    assert np.allclose(kernel, kernel[::-1, ::-1]) and np.trace(kernel[::-1]) == 1


def test_warps_are_drawn_within_their_limits():
    np.random.seed(0)
    image = np.zeros((100, 200, 3), np.uint8)
    limits = {"rotation": 90, "scale": 2, "shear": 0, "translation": 0.1, "blur": 0.5}
    warps = [draw_warp(image, **limits) for _ in range(200)]
    zooms = [np.sqrt(np.linalg.det(x.matrix[:, :2])) for x in warps]
    assert 0.5 <= min(zooms) < 0.6 and 1.8 < max(zooms) <= 2
    angles = [np.rad2deg(np.arctan2(x.matrix[1, 0], x.matrix[0, 0])) for x in warps]
    assert -90 <= min(angles) < -80 and 80 < max(angles) <= 90
    shifts = np.array([x.apply_coords(np.array([[100.0, 50.0]]))[0] - (100, 50) for x in warps])
    assert (np.abs(shifts).max(0) <= (20, 10)).all() and (np.abs(shifts).max(0) > (18, 9)).all()
    blurs = np.array([x.blur for x in warps])
    assert (np.abs(blurs) <= np.abs(shifts) / 2 + 1e-9).all() and np.abs(blurs).max() > 8
    nothing = draw_warp(image, 0, 1, 0, 0, 0)
    assert np.allclose(nothing.matrix, [[1, 0, 0], [0, 1, 0]]) and not nothing.blur.any()
    with pytest.raises(ValueError, match=r"IMAGE_WARP\.SCALE must be 1 or more, not 0\.5"):
        build_image_warp(config(**{"INPUT.IMAGE_WARP.SCALE": 0.5}))
