"""Detectors of images, such as converted Hybrid Task Cascades, are evaluated on COCO's format."""

import json

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from recorded_checkpoint import checkpoint, recording

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.image_detector import Detectron2Detector
from maskprop_d2.engine.setup import load_weights
from maskprop_d2.errors import AnnotationError
from maskprop_d2.mmdetection import convert
from maskprop_d2.ops.rle import encode

NAME = "five_kinds_val"


@pytest.fixture
def cfg(tmp_path):
    """The config of a tiny Hybrid Task Cascade, with mmdetection's checkpoint."""
    torch.save(checkpoint(), tmp_path / "htc.pth")
    height, width = recording()["image"].shape[:2]
    options = [x for pair in convert(checkpoint()).keys.items() for x in pair]
    options += ["MODEL.WEIGHTS", tmp_path / "htc.pth", "OUTPUT_DIR", tmp_path / "out"]
    options += ["INPUT.MIN_SIZE_TEST", min(height, width), "INPUT.MAX_SIZE_TEST", height + width]
    options += ["MODEL.RPN.POST_NMS_TOPK_TEST", 30, "TEST.DETECTIONS_PER_IMAGE", 5]
    options += ["DATASETS.TEST", (NAME,), "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", 0]
    return load_config("coco/Base-HTC.yaml", [str(x) for x in options])


@pytest.fixture
def dataset(cfg, tmp_path):
    """An image whose annotations are what the model detects."""
    image = recording()["image"].numpy()
    cv2.imwrite(str(tmp_path / "0.png"), image)
    frame = torch.from_numpy(image).flip(2).permute(2, 0, 1)[None]
    (found,) = Detectron2Detector(cfg).detect(frame)
    assert len(found) == 5
    ids = range(1, cfg.MODEL.ROI_HEADS.NUM_CLASSES + 1)
    annotations = []
    for i, (mask, label) in enumerate(zip(found.masks, found.labels.tolist(), strict=True)):
        y, x = mask.nonzero()
        box = [int(x.min()), int(y.min()), int(x.max() - x.min() + 1), int(y.max() - y.min() + 1)]
        annotations.append(
            {"id": i + 1, "image_id": 7, "category_id": ids[label], "iscrowd": 0}
            | {"segmentation": encode(mask), "bbox": box, "area": int(mask.sum())}
        )
    height, width = image.shape[:2]
    contents = {
        "info": {},
        "images": [{"id": 7, "file_name": "0.png", "height": height, "width": width}],
        "categories": [{"id": i, "name": f"kind {i}"} for i in ids],
        "annotations": annotations,
    }
    register_coco_instances(NAME, {}, str(tmp_path / "val.json"), str(tmp_path))
    yield contents, tmp_path / "val.json"
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def evaluate(cfg):
    model = Trainer.build_model(cfg)
    load_weights(cfg, model, resume=False)
    return Trainer.test(cfg, model)


def test_detections_are_compared_with_annotations(cfg, dataset):
    contents, path = dataset
    path.write_text(json.dumps(contents))
    assert evaluate(cfg)["segm"]["AP"] == pytest.approx(100)
    # An object that is not detected.
    first, image = contents["annotations"][0], contents["images"][0]
    mask = np.zeros((image["height"], image["width"]), bool)
    mask[:3, :3] = True
    missed = {**first, "id": 9, "segmentation": encode(mask), "bbox": [0, 0, 3, 3], "area": 9}
    path.write_text(json.dumps({**contents, "annotations": [*contents["annotations"], missed]}))
    assert evaluate(cfg)["segm"]["AP"] < 95


def test_videos_are_refused(cfg):
    DatasetCatalog.register(NAME, lambda: [{"file_names": ["0.png"], "length": 1}])
    MetadataCatalog.get(NAME).thing_classes = [f"kind {i}" for i in range(5)]
    try:
        with pytest.raises(AnnotationError, match=f"'{NAME}' has videos.* maskprop track"):
            Trainer.test(cfg, torch.nn.Identity())
    finally:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)
