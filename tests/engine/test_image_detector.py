"""Models of Detectron2 as detectors."""

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model

from maskprop_d2 import model_zoo
from maskprop_d2.engine import load_config
from maskprop_d2.engine.image_detector import Detectron2Detector
from maskprop_d2.errors import ConfigError, InputError, WeightsFileError

PRESET = "mask_rcnn_R_50_FPN_3x"
SMALL = ["INPUT.MIN_SIZE_TEST", "48", "INPUT.MAX_SIZE_TEST", "80"]
SMALL += ["MODEL.RPN.POST_NMS_TOPK_TEST", "50", "MODEL.DEVICE", "cpu"]
SMALL += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of Mask R-CNN."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    model = build_model(load_config(model_zoo.get_config_file(PRESET), SMALL))
    # The scores of a new network are all 0 or 1.
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=1e-3)
    torch.save({"model": model.state_dict()}, path)
    return path


def config(weights, *options):
    file = model_zoo.get_config_file(PRESET)
    return load_config(file, [*SMALL, "MODEL.WEIGHTS", str(weights), *options])


@pytest.fixture(scope="module")
def detector(weights):
    return Detectron2Detector(config(weights))


def frames():
    # Of the size to which they are resized: Detectron2 resizes in 8 bits.
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (2, 3, 48, 80), generator=generator, dtype=torch.uint8)


def test_detections_are_those_of_detectron2(weights, detector):
    assert detector.class_names == MetadataCatalog.get("coco_2017_val").thing_classes
    predictor = DefaultPredictor(config(weights))
    for frame, found in zip(frames(), detector.detect(frames()), strict=True):
        expected = predictor(frame.permute(1, 2, 0).numpy()[:, :, ::-1])["instances"]
        assert len(found) > 5
        assert found.scores.dtype == np.float32 and found.labels.dtype == np.int64
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
        np.testing.assert_array_equal(found.labels, expected.pred_classes)
        assert (found.masks == expected.pred_masks.numpy()).mean() > 0.999


def test_frames_in_a_batch_are_as_if_alone(detector):
    """Those that have one size after resizing are a batch."""
    first, second = frames()
    enlarged = first.repeat_interleave(2, 1).repeat_interleave(2, 2)
    mixed = [first, second[:, :, :60], enlarged]
    batches = []
    hook = detector._model.backbone.register_forward_pre_hook(
        lambda _, x: batches.append(len(x[0]))
    )
    together = detector.detect(mixed)
    hook.remove()
    assert batches == [2, 1]
    for frame, found in zip(mixed, together, strict=True):
        (expected,) = detector.detect([frame])
        assert found.masks.shape[1:] == frame.shape[1:] and len(found)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert (found.masks == expected.masks).mean() > 0.999


def test_only_the_wanted_categories_are_detected(weights, detector):
    (everything,) = detector.detect(frames()[:1])
    label = everything.labels[0]
    wanted = [detector.class_names[label]]
    (found,) = Detectron2Detector(config(weights), categories=wanted).detect(frames()[:1])
    assert set(found.labels) == {label} and len(found) == sum(everything.labels == label)
    assert len(found) < len(everything)
    with pytest.raises(InputError, match="no category 'unicorn'"):
        Detectron2Detector(config(weights), categories=["unicorn"])


def test_models_without_masks_or_weights_are_refused(weights, tmp_path):
    with pytest.raises(ConfigError, match="without masks"):
        Detectron2Detector(config(weights, "MODEL.MASK_ON", "False"))
    with pytest.raises(ConfigError, match="there is no such file"):
        Detectron2Detector(config(tmp_path / "gone.pth"))
    partial = {k: v for k, v in torch.load(weights)["model"].items() if "mask_head" not in k}
    torch.save({"model": partial}, tmp_path / "partial.pth")
    with pytest.raises(WeightsFileError, match=r"lacks 12 weights of the model, such as roi_heads"):
        Detectron2Detector(config(tmp_path / "partial.pth"))

    with pytest.raises(ConfigError, match=r"MODEL\.WEIGHTS is empty"):
        Detectron2Detector(config(""))


def test_deformable_models_run_on_a_cpu(tmp_path):
    """Detectron2's modulated operator does not, and may not have been compiled."""
    options = ["MODEL.RESNETS.DEFORM_ON_PER_STAGE", "[False, False, False, True]"]
    options += ["MODEL.RESNETS.DEFORM_MODULATED", "True"]
    weights = tmp_path / "deformable.pth"
    cfg = config(weights, *options)
    torch.save({"model": build_model(cfg).state_dict()}, weights)
    found = Detectron2Detector(cfg).detect(frames())
    assert len(found) == 2
