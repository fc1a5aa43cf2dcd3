"""The table of published models."""

from pathlib import Path

import pytest
from torchvision.models import detection

from maskprop_d2 import model_zoo
from maskprop_d2.errors import ConfigError
from maskprop_d2.model_zoo import PRESETS

ROOT = Path(__file__).parents[2]
MASK_RCNN = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x"


@pytest.mark.parametrize("preset", [x for x in PRESETS.values() if x.kind == "detectron2"])
def test_addresses_and_configs_are_those_of_detectron2(preset):
    zoo = pytest.importorskip("detectron2.model_zoo", reason="needs Detectron2")
    assert model_zoo.get_checkpoint_url(preset.name) == zoo.get_checkpoint_url(preset.config_file)
    assert model_zoo.get_config_file(preset.name) == zoo.get_config_file(preset.config_file)
    assert preset.checksum.removeprefix("md5:") in preset.url


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("maskrcnn_resnet50_fpn", detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
        ("maskrcnn_resnet50_fpn_v2", detection.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
    ],
)
def test_entries_are_those_of_torchvision(name, weights):
    preset = PRESETS[name]
    assert preset.url == model_zoo.get_checkpoint_url(name) == weights.url
    assert preset.url.endswith(f"-{preset.checksum.removeprefix('sha256:')}.pth")
    assert preset.mask_ap == weights.meta["_metrics"]["COCO-val2017"]["mask_map"]
    # Torchvision counts 2**20 bytes.
    assert preset.megabytes == pytest.approx(weights.meta["_file_size"] * 1.048576, abs=0.5)
    with pytest.raises(ConfigError, match="torchvision, which has no config"):
        model_zoo.get_config_file(name)


def test_names_of_presets_and_configs():
    for name in ("mask_rcnn_R_50_FPN_3x", MASK_RCNN, f"{MASK_RCNN}.yaml"):
        assert model_zoo.get_preset(name) is PRESETS["mask_rcnn_R_50_FPN_3x"]
    tiny = ROOT / "maskprop_d2/configs/moving_shapes/maskprop_tiny.yaml"
    for name in (
        "maskprop_tiny",
        "moving_shapes/maskprop_tiny",
        "moving_shapes/maskprop_tiny.yaml",
    ):
        assert model_zoo.get_config_file(name) == str(tiny)
        assert model_zoo.get_checkpoint_url(name) == str(
            ROOT / "maskprop_d2/weights/maskprop_tiny.pt"
        )


def test_configs_without_published_weights():
    name = "youtubevis_2019/maskprop_R_50_FPN"
    assert Path(model_zoo.get_config_file(name)).is_file()
    for function in (model_zoo.get_checkpoint_url, model_zoo.get):
        with pytest.raises(ConfigError, match=f"no file or published model '{name}'"):
            function(name)
    with pytest.raises(ConfigError, match=r"'gone': `maskprop models` lists them"):
        model_zoo.get_config_file("gone")
