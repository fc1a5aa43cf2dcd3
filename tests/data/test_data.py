"""YouTube-VIS annotation files, training clips and test videos."""

import json
from functools import partial

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from small_videos import square, write_data_set

from maskprop_d2 import add_maskprop_config
from maskprop_d2.data.augmentation import AffineWarp, build_clip_augmentations, draw_warp
from maskprop_d2.data.loaders import FrameDataset, assign_videos
from maskprop_d2.data.mapper import ClipMapper, map_test_video
from maskprop_d2.data.records import load_ytvis_json
from maskprop_d2.errors import AnnotationError, InputError, VideoError
from maskprop_d2.ops.rle import encode


@pytest.fixture
def records(tmp_path):
    write_data_set(tmp_path)
    name = f"test_{tmp_path.name}"
    return load_ytvis_json(str(tmp_path / "train.json"), str(tmp_path), name)


def no_warp(image):
    return draw_warp(image, 0, 1, 0, 0, 0)


def shift(image):
    return draw_warp(image, 0, 1, 0, 0.2, 0)


def mapper(*augmentations, num_frames=2, frame_range=25, image_format="RGB", warp=no_warp):
    cfg = get_cfg()
    add_maskprop_config(cfg)
    cfg.INPUT.FORMAT, cfg.INPUT.SAMPLING_FRAME_NUM = image_format, num_frames
    cfg.INPUT.SAMPLING_FRAME_RANGE, cfg.INPUT.SAMPLING_FRAME_STRIDE = frame_range, 1
    made = ClipMapper(cfg)
    made.augmentations, made.image_warp = T.AugmentationList(list(augmentations)), warp
    return made


def test_load_ytvis_json(records, tmp_path):
    (record,) = records
    assert (record["video_id"], record["length"]) == (7, 4)
    assert record["file_names"][2] == str(tmp_path / "v/2.png")
    # Categories are numbered from 0 in the order of their ids.
    seen = [[(x["id"], x["category_id"]) for x in frame] for frame in record["annotations"]]
    assert seen[0] == [(5, 1), (9, 0)]
    assert seen[1] == [(5, 1), (3, 0), (9, 0)]
    metadata = MetadataCatalog.get(f"test_{tmp_path.name}")
    assert metadata.thing_classes == ["ghost", "square"]
    assert metadata.thing_dataset_id_to_contiguous_id == {20: 0, 30: 1}


def test_an_object_without_polygons_is_not_visible(tmp_path):
    write_data_set(tmp_path)
    data = json.loads((tmp_path / "train.json").read_text())
    data["annotations"][0]["segmentations"][2] = []
    (tmp_path / "train.json").write_text(json.dumps(data))
    (record,) = load_ytvis_json(str(tmp_path / "train.json"), str(tmp_path), "test_no_polygon")
    assert [x["id"] for x in record["annotations"][2]] == [9]


def test_an_epoch_has_each_frame_with_an_object(records):
    assert len(FrameDataset(records)) == 4
    records[0]["annotations"][2] = [x for x in records[0]["annotations"][2] if x["iscrowd"]]
    assert [FrameDataset(records)[i]["frame"] for i in range(3)] == [0, 1, 3]


@pytest.mark.parametrize("num_frames", [2, 3])
def test_a_clip_has_the_objects_of_its_frames(records, num_frames):
    np.random.seed(0)
    clip = mapper(num_frames=num_frames)({"video": records[0], "frame": 1})
    assert [clip[x] for x in ("height", "width", "video_id")] == [40, 60, 7]
    assert clip["file_name"].endswith("1.png")
    key, *partners = clip["clip"]
    # Without the crowd.
    assert key["instances"].gt_classes.tolist() == [1, 0]
    assert len(set(key["instances"].gt_ids.tolist())) == 2
    assert key["frame"] == 1 and len(partners) == num_frames - 1
    for frame in clip["clip"]:
        x = 5 * frame["frame"]
        instances = frame["instances"]
        assert instances.gt_boxes.tensor[0].tolist() == [x, 10, x + 10, 20]
        assert (instances.gt_masks.tensor[0] == (frame["image"][0] > 128)).all()
        assert instances.gt_ids[0] == key["instances"].gt_ids[0]
    for frame in partners:
        # The other object is only visible in frame 1.
        assert frame["instances"].gt_classes.tolist() == [1]


def test_frames_and_masks_get_the_same_transform(records):
    np.random.seed(0)
    resize, flip = T.ResizeShortestEdge([80], sample_style="choice"), T.RandomFlip(prob=1.0)
    clip = mapper(resize, flip, num_frames=3)({"video": records[0], "frame": 1})["clip"]
    for frame in clip:
        assert frame["image"].shape == (3, 80, 120)
        right = 120 - 10 * frame["frame"]
        assert frame["instances"].gt_boxes.tensor[0].tolist() == [right - 20, 20, right, 40]
        mask = frame["instances"].gt_masks.tensor[0]
        assert ((frame["image"][0] > 128) ^ mask).float().mean() < 0.02


def test_crops_are_the_same_for_all_frames(records):
    cfg = get_cfg()
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.SIZE = True, [0.5, 0.5]
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.RANDOM_FLIP = (40,), "none"
    np.random.seed(1)
    augmentations = build_clip_augmentations(cfg).augs
    sizes, areas = set(), set()
    for _ in range(20):
        clip = mapper(*augmentations, num_frames=3)({"video": records[0], "frame": 2})["clip"]
        sizes.add(tuple(clip[0]["image"].shape))
        areas.add(int(clip[0]["instances"].gt_masks.tensor.sum()))
        for frame in clip:
            # Only the square is drawn in the image.
            square_only = frame["instances"][frame["instances"].gt_classes == 1]
            visible = square_only.gt_masks.tensor.any(dim=0)
            assert (~visible | (frame["image"][0] > 100)).float().mean() > 0.97
    assert len(sizes) > 5 and len(areas) > 5


def test_colours_are_in_the_order_of_the_model(records):
    clip = mapper(image_format="BGR")({"video": records[0], "frame": 0})["clip"]
    image = clip[0]["image"]
    assert image[:, 15, 5].tolist() == [0, 0, 255]


def test_partners_are_other_frames_within_range():
    partners = [mapper(frame_range=2).sample_partners(5, 20) for _ in range(200)]
    assert {x for (x,) in partners} == {3, 4, 6, 7}
    assert {mapper().sample_partners(0, 3)[0] for _ in range(50)} == {1, 2}
    assert mapper().sample_partners(0, 1) == [0]


def test_partners_in_a_longer_clip_are_distinct_and_unordered():
    draws = [mapper(num_frames=5, frame_range=3).sample_partners(5, 20) for _ in range(300)]
    assert all(len(set(x)) == 4 for x in draws)
    for place in zip(*draws, strict=True):
        assert set(place) == {2, 3, 4, 6, 7, 8}


def test_missing_partners_are_warped_copies(records):
    partners = mapper(num_frames=6).sample_partners(1, 4)
    assert sorted(partners[:3]) == [0, 2, 3] and partners[3:] == [1, 1]
    clip = mapper(num_frames=6, warp=shift)({"video": records[0], "frame": 1})["clip"]
    assert len({x["image"].numpy().tobytes() for x in clip}) == 6
    assert [x["frame"] for x in clip[4:]] == [1, 1]


def test_pairs_of_a_seed_do_not_change():
    np.random.seed(0)
    drawn = [mapper(frame_range=5).sample_partners(5, 20) for _ in range(8)]
    # As np.random.choice draws them.
    assert drawn == [[6], [0], [3], [3], [8], [10], [3], [6]]


@pytest.mark.parametrize("number", [1, 0, -3])
def test_clips_of_one_frame_are_refused(number):
    with pytest.raises(InputError, match=rf"SAMPLING_FRAME_NUM must be 2 or more, .* not {number}"):
        mapper(num_frames=number)


@pytest.fixture
def still(tmp_path):
    """A record of one frame, with a red square."""
    write_data_set(tmp_path, length=1)
    (record,) = load_ytvis_json(str(tmp_path / "train.json"), str(tmp_path), "test_one_frame")
    return record


def test_the_partner_of_a_still_image_is_a_warped_copy(still):
    np.random.seed(0)
    key, copy = mapper()({"video": still, "frame": 0})["clip"]
    assert (key["image"] == copy["image"]).all() and copy["frame"] == 0
    warp, resize = (
        partial(draw_warp, rotation=20, scale=1.5, shear=10, translation=0.05, blur=0),
        T.ResizeShortestEdge(80),
    )
    shapes = set()
    for _ in range(20):
        clip = mapper(resize, T.RandomFlip(), warp=warp)({"video": still, "frame": 0})["clip"]
        for frame in clip:
            red = frame["image"][0] > 128
            assert (red ^ frame["instances"].gt_masks.tensor[0]).float().mean() < 0.02
            assert frame["instances"].gt_classes.tolist() == [1]
        key, copy = (x["instances"] for x in clip)
        assert key.gt_ids.tolist() == copy.gt_ids.tolist()
        shapes.add(tuple(copy.gt_boxes.tensor[0].tolist()))
    assert len(shapes) > 10


def test_frames_without_others_in_range_get_warped_copies(records):
    key, copy = mapper(frame_range=0, warp=shift)({"video": records[0], "frame": 2})["clip"]
    assert (key["image"] != copy["image"]).any()
    _, partner = mapper(frame_range=1, warp=shift)({"video": records[0], "frame": 0})["clip"]
    assert partner["instances"].gt_boxes.tensor[0].tolist() == [5, 10, 15, 20]


def shift_right(image):
    return AffineWarp(np.array([[1.0, 0, 55], [0, 1, 0]]), np.zeros(2))


def test_an_object_warped_out_of_the_image_is_not_visible(still):
    _, copy = mapper(warp=shift_right)({"video": still, "frame": 0})["clip"]
    assert copy["instances"].gt_masks.tensor.sum() == 5 * 10
    still["annotations"][0].append({**still["annotations"][0][0], "id": 6})
    still["annotations"][0][-1]["segmentation"] = encode(square(4))
    key, copy = mapper(warp=shift_right)({"video": still, "frame": 0})["clip"]
    assert len(key["instances"]) == 2
    assert copy["instances"].gt_ids.tolist() == key["instances"].gt_ids[:1].tolist()
    assert copy["instances"].gt_masks.tensor.sum() == 5 * 10


def test_test_videos_are_read_when_iterated(records, tmp_path):
    video = map_test_video(records[0])
    (tmp_path / "v/3.png").unlink()
    frames = iter(video["frames"])
    assert next(frames)[15, 5].tolist() == [255, 0, 0]
    with pytest.raises(VideoError, match=r"3\.png is missing"):
        list(frames)


def test_invalid_files_are_refused(tmp_path):
    write_data_set(tmp_path)
    file = tmp_path / "train.json"
    with pytest.raises(AnnotationError, match=r"gone\.json: there is no such file"):
        load_ytvis_json(str(tmp_path / "gone.json"), "", "test_gone")
    text = file.read_text()
    file.write_text(text[:-50])
    with pytest.raises(AnnotationError, match=r"train\.json is not valid json"):
        load_ytvis_json(str(file), "", "test_cut")
    file.write_text(text.replace('"category_id": 30', '"category_id": 31'))
    with pytest.raises(AnnotationError, match="annotation 5: unknown 'category_id' 31"):
        load_ytvis_json(str(file), "", "test_category")


def test_an_invalid_mask_is_reported_with_its_place(records):
    records[0]["annotations"][2][0]["segmentation"] = {"size": [3, 3], "counts": [9]}
    with pytest.raises(ValueError, match=r"video 7, frame 2, annotation 5: the mask's size is"):
        mapper()({"video": records[0], "frame": 2})


@pytest.mark.parametrize("name", ["/etc/passwd", "../v/0.png", "v/../../0.png", "C:\\0.png", "v\0"])
def test_file_names_outside_the_frame_folder_are_refused(tmp_path, name):
    write_data_set(tmp_path)
    path = tmp_path / "train.json"
    data = json.loads(path.read_text())
    data["videos"][0]["file_names"][2] = name
    path.write_text(json.dumps(data))
    with pytest.raises(AnnotationError, match=r"video 7: the file name .* leads out") as info:
        load_ytvis_json(str(path), str(tmp_path), f"test_{tmp_path.name}")
    assert repr(name) in str(info.value)


def test_a_frame_of_the_wrong_size_is_reported(records):
    records[0]["height"] = 41
    with pytest.raises(VideoError, match=r"0\.png has 60 x 40 pixels, but its video 60 x 41"):
        mapper()({"video": records[0], "frame": 0})


def test_videos_are_distributed_by_length():
    lengths = [5, 90, 10, 10, 40, 35, 5]
    parts = [assign_videos(lengths, rank, 2) for rank in range(2)]
    assert sorted(i for part in parts for i in part) == list(range(7))
    assert all(part == sorted(part) for part in parts)
    assert sorted(sum(lengths[i] for i in part) for part in parts) == [95, 100]
    # Fewer videos than processes.
    assert [assign_videos([3], rank, 3) for rank in range(3)] == [[0], [], []]
