"""What a checkpoint says is kept; what cannot be represented is refused by name."""

import pytest
import torch
from recorded_checkpoint import checkpoint, masktrack

from maskprop_d2.errors import InputError
from maskprop_d2.mmdetection import convert
from maskprop_d2.mmdetection.config_text import UNKNOWN, parse_config
from maskprop_d2.ytvis.categories import YTVIS_2019, YTVIS_2021


def changed(old, new):
    """A checkpoint with another config."""
    contents = checkpoint()
    text = contents["meta"]["config"]
    assert old in text
    contents["meta"] = {"config": text.replace(old, new)}
    return contents


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("RESNETS.STRIDE_IN_1X1", True, "'style': 'pytorch'", "'style': 'caffe'"),
        ("ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 2, "'sampling_ratio': 0", "'sampling_ratio': 2"),
        ("PIXEL_STD", [1.0, 1.0, 1.0], "[58.395, 57.12, 57.375]", "[1.0, 1.0, 1.0]"),
        ("FORMAT", "BGR", "'to_rgb': True", "'to_rgb': False"),
        (
            "ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS",
            [[10, 10, 5, 5], [20, 20, 10, 10], [40, 40, 20, 20]],
            "[0.033, 0.033, 0.067, 0.067]",
            "[0.025, 0.025, 0.05, 0.05]",
        ),
    ],
)
def test_keys_say_what_the_checkpoint_was_trained_with(key, value, old, new):
    key = f"{'INPUT' if key == 'FORMAT' else 'MODEL'}.{key}"
    assert convert(checkpoint()).keys[key] != value
    assert convert(changed(old, new)).keys[key] == value


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("'RPNHead'", "'GARPNHead'", r"model\.rpn_head\.type is 'GARPNHead', but only 'RPNHead'"),
        ("'ratios': [0.5, 1.0, 2.0]", "'ratios': [1.0]", r"anchor_generator\.ratios is \[1\.0\]"),
        ("[0.0, 0.0, 0.0, 0.0]", "[0.5, 0, 0, 0]", r"target_means is \[0\.5, 0, 0, 0\]"),
        ("'output_size': 14", "'output_size': 28", "output_size is 28, but only 14"),
        ("'fusion_level': 1", "'fusion_level': 2", "fusion_level is 2"),
        ("'backbone': {'type': 'ResNeXt'", "'backbone': {'type': 'Res2Net'", "'Res2Net'"),
    ],
)
def test_settings_that_cannot_be_represented_are_refused(old, new, message):
    with pytest.raises(InputError, match=message):
        convert(changed(old, new))


def without(contents, *starts):
    weights = contents["state_dict"]
    return {
        **contents,
        "state_dict": {k: v for k, v in weights.items() if not k.startswith(starts)},
    }


def adding(contents, **weights):
    named = {name.replace("__", "."): x for name, x in weights.items()}
    return {**contents, "state_dict": {**contents["state_dict"], **named}}


ONE = torch.ones(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {"model": {}}, "it has no state_dict"),
        (lambda: {"state_dict": {"a": 1}}, "something that is not a weight: a"),
        (lambda: {"state_dict": {"a": ONE}}, "another model: only Hybrid Task Cascade and Mask"),
        (lambda: {"state_dict": {"bbox_head.0.fc_cls.weight": ONE}}, r"mmdetection 1\.x"),
        (lambda: without(checkpoint(), "roi_head.mask_head.1.conv_res"), "another model"),
        (lambda: without(checkpoint(), "neck.lateral_convs.0"), "lacks the weight backbone.fpn_l"),
        (lambda: without(checkpoint(), "backbone.layer4.2"), r"backbone has \(3, 4, 6, 2\) blocks"),
        (
            lambda: adding(checkpoint(), neck__fpn_convs__4__conv__weight=ONE),
            r"1 weights that have no counterpart here, such as neck\.fpn_convs\.4",
        ),
        (lambda: adding(checkpoint(), backbone__conv1__weight=torch.tensor(1.0)), "not understood"),
    ],
)
def test_other_checkpoints_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        convert(make())


def test_without_a_config_published_settings_are_assumed():
    contents = checkpoint()
    given = convert(contents)
    assumed = convert({"state_dict": contents["state_dict"]})
    assert given.has_config and not assumed.has_config
    assert assumed.keys == given.keys


def test_masktrack_rcnn():
    converted = convert(masktrack())
    assert converted.model == "MaskTrack R-CNN"
    assert converted.keys["MODEL.MASKPROP.MASKTRACK.FC_DIM"] == 16
    assert converted.keys["MODEL.ROI_HEADS.NUM_CLASSES"] == 40
    assert not converted.keys["MODEL.MASKPROP.SEMANTIC.ENABLED"]
    assert {x for x in converted.weights if x.startswith("embedding.")} == {
        f"embedding.layers.{i}.{x}" for i in (1, 3) for x in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("preprocessor", "expected"),
    [
        ("type='DetDataPreprocessor'", ("BGR", [0, 0, 0], [1, 1, 1])),
        ("mean=[3, 2, 1], std=[4, 5, 6], bgr_to_rgb=True", ("RGB", [3, 2, 1], [4, 5, 6])),
    ],
)
def test_images_as_mmdetection_3_prepares_them(preprocessor, expected):
    text = f"model = dict(type='MaskTrackRCNN', data_preprocessor=dict({preprocessor}))"
    keys = convert({**masktrack(), "meta": {"cfg": text}}).keys
    names = "INPUT.FORMAT", "MODEL.PIXEL_MEAN", "MODEL.PIXEL_STD"
    assert tuple(keys[x] for x in names) == expected


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        ("num_frames_retain=30", r"model\.tracker\.num_frames_retain is 30, but only 20"),
        ("match_weights=dict(iou=3.0)", r"match_weights\.iou is 3\.0, but only 2"),
    ],
)
def test_another_tracker_is_refused(tracker, message):
    text = f"model = dict(type='MaskTrackRCNN', tracker=dict({tracker}))"
    with pytest.raises(InputError, match=message):
        convert({**masktrack(), "meta": {"config": text}})


def test_categories_of_another_dataset_get_no_wrong_names():
    names = tuple(f"part {i}" for i in range(40))
    keys = convert({**masktrack(), "meta": {"CLASSES": names}}).keys
    assert keys["DATASETS.TEST"] == keys["DATASETS.TRAIN"] == []
    assert "DATASETS.TRAIN" not in convert({**masktrack(), "meta": {"CLASSES": YTVIS_2019}}).keys


def test_categories_get_the_order_of_their_dataset():
    contents = masktrack()
    plain = convert({**contents, "meta": {"CLASSES": YTVIS_2021}})
    assert plain.keys["DATASETS.TEST"] == ["ytvis_2021_val"]
    names = YTVIS_2019[::-1]
    turned = convert({**contents, "meta": {"dataset_meta": {"classes": tuple(names)}}})
    assert turned.keys["DATASETS.TEST"] == ["ytvis_2019_val"]
    a, b = plain.weights, turned.weights
    name = "roi_heads.box_predictor.cls_score.weight"
    assert torch.equal(b[name][:40], a[name][:40].flip(0)) and torch.equal(b[name][40], a[name][40])
    name = "roi_heads.box_predictor.bbox_pred.weight"
    assert torch.equal(b[name].view(40, 4, 8), a[name].view(40, 4, 8).flip(0))
    name = "roi_heads.mask_head.predictor.bias"
    assert torch.equal(b[name], a[name].flip(0))


def test_configs_are_read_and_not_run():
    text = """
/home/someone/configs/_base_/model.py
norm = dict(mean=[1.5, 2], to_rgb=True)
model = dict(a=dict(b=1, c=2), e=1.0 / 4, f=-3, g=[dict(**norm), (1, 2)])
/home/someone/configs/mine.py
model = dict(a=dict(c=3))
other = dict(_delete_=True, x=open('/tmp/never', 'w'), **__import__('os'))
"""
    values = parse_config(text)
    assert values["model"]["a"] == {"b": 1, "c": 3}
    assert values["model"]["e"] == 0.25 and values["model"]["f"] == -3
    assert values["model"]["g"] == [{"mean": [1.5, 2], "to_rgb": True}, [1, 2]]
    assert values["other"]["x"] is UNKNOWN
    for text in (
        "a = (",
        "[" * 10**5,
        "x = 9 ** 9 ** 9",
        "a = 1e8 * 1e8 / 0",
        "\0",
        "a = 1" * 10**6,
    ):
        assert "model" not in parse_config(text)
