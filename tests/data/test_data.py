"""From YouTube-VIS json files to training pairs and test videos."""

import json

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from small_videos import write_data_set

from maskprop_d2.data.loaders import FrameDataset
from maskprop_d2.data.mapper import ClipPairMapper, map_test_video
from maskprop_d2.data.ytvis import load_ytvis_json
from maskprop_d2.evaluation import AnnotationError
from maskprop_d2.inference import VideoError


@pytest.fixture
def records(tmp_path):
    write_data_set(tmp_path)
    name = f"test_{tmp_path.name}"
    return load_ytvis_json(str(tmp_path / "train.json"), str(tmp_path), name)


def mapper(*augmentations, frame_range=25, image_format="RGB"):
    return ClipPairMapper(
        augmentations=T.AugmentationList(list(augmentations)),
        image_format=image_format,
        frame_range=frame_range,
    )


def test_records(records, tmp_path):
    (record,) = records
    assert (record["video_id"], record["length"]) == (7, 4)
    assert record["file_names"][2] == str(tmp_path / "v/2.png")
    # Categories are counted from 0 in the order of their ids.
    seen = [[(x["id"], x["category_id"]) for x in frame] for frame in record["annotations"]]
    assert seen[0] == [(5, 1), (9, 0)]
    assert seen[1] == [(5, 1), (3, 0), (9, 0)]
    metadata = MetadataCatalog.get(f"test_{tmp_path.name}")
    assert metadata.thing_classes == ["ghost", "square"]
    assert metadata.thing_dataset_id_to_contiguous_id == {20: 0, 30: 1}


def test_an_object_without_polygons_is_not_seen(tmp_path):
    write_data_set(tmp_path)
    data = json.loads((tmp_path / "train.json").read_text())
    data["annotations"][0]["segmentations"][2] = []
    (tmp_path / "train.json").write_text(json.dumps(data))
    (record,) = load_ytvis_json(str(tmp_path / "train.json"), str(tmp_path), "test_no_polygon")
    assert [x["id"] for x in record["annotations"][2]] == [9]


def test_an_epoch_is_the_frames_with_an_object(records):
    assert len(FrameDataset(records)) == 4
    records[0]["annotations"][2] = [x for x in records[0]["annotations"][2] if x["iscrowd"]]
    assert [FrameDataset(records)[i]["frame"] for i in range(3)] == [0, 1, 3]


def test_a_pair_has_the_same_objects_in_both_frames(records):
    np.random.seed(0)
    pair = mapper()({"video": records[0], "frame": 1})
    instances = pair["instances"]
    # The crowd is left out.
    assert instances.gt_classes.tolist() == [1, 0]
    assert instances.gt_boxes.tensor[0].tolist() == [5, 10, 15, 20]
    red = pair["image"][0] > 128
    assert (instances.gt_masks.tensor[0] == red).all()
    red = pair["partner_image"][0] > 128
    assert (instances.partner_masks.tensor[0] == red).all()
    # The other object cannot be seen in any other frame.
    assert not instances.partner_masks.tensor[1].any()
    # The partner's own objects, for a detector that is trained on it too.
    of_partner = pair["partner_instances"]
    assert of_partner.gt_classes.tolist() == [1]
    assert (of_partner.gt_masks.tensor[0] == red).all()


def test_both_frames_and_their_masks_are_transformed_alike(records):
    np.random.seed(0)
    resize, flip = T.ResizeShortestEdge([80], sample_style="choice"), T.RandomFlip(prob=1.0)
    pair = mapper(resize, flip)({"video": records[0], "frame": 1})
    assert pair["image"].shape == pair["partner_image"].shape == (3, 80, 120)
    assert pair["instances"].gt_boxes.tensor[0].tolist() == [90, 20, 110, 40]
    for image, masks in (
        (pair["image"], pair["instances"].gt_masks),
        (pair["partner_image"], pair["instances"].partner_masks),
    ):
        assert ((image[0] > 128) ^ masks.tensor[0]).float().mean() < 0.02


def test_colours_are_in_the_models_order(records):
    image = mapper(image_format="BGR")({"video": records[0], "frame": 0})["image"]
    assert image[:, 15, 5].tolist() == [0, 0, 255]


def test_partners_are_other_frames_within_range():
    partners = {mapper(frame_range=2).sample_partner(5, 20) for _ in range(200)}
    assert partners == {3, 4, 6, 7}
    assert {mapper().sample_partner(0, 3) for _ in range(50)} == {1, 2}
    assert mapper().sample_partner(0, 1) == 0


def test_a_video_of_one_frame_pairs_with_itself(tmp_path):
    write_data_set(tmp_path, length=1)
    (record,) = load_ytvis_json(str(tmp_path / "train.json"), str(tmp_path), "test_one_frame")
    pair = mapper()({"video": record, "frame": 0})
    assert (pair["image"] == pair["partner_image"]).all()


def test_test_videos_are_read_when_iterated(records, tmp_path):
    video = map_test_video(records[0])
    (tmp_path / "v/3.png").unlink()
    frames = iter(video["frames"])
    assert next(frames)[15, 5].tolist() == [255, 0, 0]
    with pytest.raises(VideoError, match=r"3\.png is missing"):
        list(frames)


def test_wrong_files_are_refused(tmp_path):
    write_data_set(tmp_path)
    file = tmp_path / "train.json"
    with pytest.raises(AnnotationError, match=r"gone\.json: there is no such file"):
        load_ytvis_json(str(tmp_path / "gone.json"), "", "test_gone")
    text = file.read_text()
    file.write_text(text[:-50])
    with pytest.raises(AnnotationError, match=r"train\.json is not a whole json file"):
        load_ytvis_json(str(file), "", "test_cut")
    file.write_text(text.replace('"category_id": 30', '"category_id": 31'))
    with pytest.raises(AnnotationError, match="annotation 5: unknown 'category_id' 31"):
        load_ytvis_json(str(file), "", "test_category")


def test_a_wrong_mask_is_named_with_its_video_frame_and_annotation(records):
    records[0]["annotations"][2][0]["segmentation"] = {"size": [3, 3], "counts": [9]}
    with pytest.raises(ValueError, match=r"video 7, frame 2, annotation 5: the mask's size is"):
        mapper()({"video": records[0], "frame": 2})
