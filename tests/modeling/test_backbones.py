"""Deformable and grouped ResNets, and torchvision's weights."""

import copy

import convert_torchvision
import pytest
import torch
import torchvision
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone.resnet import BottleneckBlock, DeformBottleneckBlock

from maskprop_d2.modeling.backbone.deformable import (
    TorchvisionDeformConv,
    use_torchvision_deform_conv,
)


def deformable_block(**options):
    torch.manual_seed(0)
    options = {"bottleneck_channels": 16, "stride": 2, "norm": "BN", **options}
    return DeformBottleneckBlock(24, 32, **options).eval()


def with_offsets(block):
    torch.nn.init.normal_(block.conv2_offset.weight, std=0.2)
    return block


@pytest.mark.parametrize("options", [{}, {"num_groups": 4}, {"dilation": 2, "stride": 1}])
def test_deformable_block_without_offsets_is_a_plain_one(options):
    deformable = deformable_block(**options)
    use_torchvision_deform_conv(deformable)
    options = {"bottleneck_channels": 16, "stride": 2, "norm": "BN", **options}
    plain = BottleneckBlock(24, 32, **options).eval()
    found = plain.load_state_dict(deformable.state_dict(), strict=False)
    assert found.missing_keys == []
    assert set(found.unexpected_keys) == {"conv2_offset.weight", "conv2_offset.bias"}
    x = torch.randn(2, 24, 15, 18)
    torch.testing.assert_close(deformable(x), plain(x))


@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"dilation": 2, "stride": 1}])
def test_operator_agrees_with_detectron2(options):
    pytest.importorskip("detectron2._C", reason="needs Detectron2's compiled operators")
    theirs = with_offsets(deformable_block(**options))
    ours = copy.deepcopy(theirs)
    use_torchvision_deform_conv(ours)
    assert isinstance(ours.conv2, TorchvisionDeformConv)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = torch.randn(2, 24, 15, 18)
    with torch.no_grad():
        plain = theirs(x)
        torch.testing.assert_close(ours(x), plain, rtol=1e-4, atol=1e-5)
        torch.nn.init.zeros_(ours.conv2_offset.weight)
        assert (ours(x) - plain).abs().max() > 0.01


def test_modulated_layer_weighs_its_taps():
    block = deformable_block(deform_modulated=True, stride=1)
    use_torchvision_deform_conv(block)
    x, offset = torch.randn(1, 16, 6, 7), torch.zeros(1, 18, 6, 7)
    mask = torch.zeros(1, 9, 6, 7)
    mask[:, 4] = 0.25
    middle = torch.nn.functional.conv2d(x, block.conv2.weight[:, :, 1:2, 1:2])
    torch.testing.assert_close(block.conv2(x, offset, mask), block.conv2.norm(0.25 * middle))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("modulated", [False, True])
def test_gradients_on_a_cpu(modulated, mixed):
    block = with_offsets(deformable_block(deform_modulated=modulated, num_groups=2))
    use_torchvision_deform_conv(block)
    x = torch.randn(1, 24, 8, 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        out = block(x)
    if mixed:
        torch.testing.assert_close(out.float(), block(x), rtol=0.1, atol=0.1)
    out.float().square().sum().backward()
    for name, parameter in block.named_parameters():
        assert (parameter.grad != 0).any(), name


def resnet_config(depth, groups, width, **more):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.OUT_FEATURES = depth, ["res2", "res3", "res5"]
    cfg.MODEL.RESNETS.NUM_GROUPS, cfg.MODEL.RESNETS.WIDTH_PER_GROUP = groups, width
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    return cfg


@pytest.fixture
def torchvisions_resnext():
    torch.manual_seed(0)
    block = torchvision.models.resnet.Bottleneck
    model = torchvision.models.ResNet(block, [3, 4, 6, 3], groups=4, width_per_group=2)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def test_converted_weights_give_torchvisions_features(torchvisions_resnext, tmp_path, capsys):
    torch.save(torchvisions_resnext.state_dict(), tmp_path / "torchvision.pth")
    output = tmp_path / "folder/converted.pth"
    options = ["--weights", str(tmp_path / "torchvision.pth"), "--output", str(output)]
    convert_torchvision.main(options)
    assert "PIXEL_STD [58.395,57.12,57.375]" in capsys.readouterr().out
    backbone = build_backbone(resnet_config(50, 4, 2)).eval()
    # Nested under another name, as in a detector.
    DetectionCheckpointer(torch.nn.ModuleDict({"bottom_up": backbone})).load(str(output))
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = backbone(x)
        y = torchvisions_resnext
        y = y.layer1(y.maxpool(y.relu(y.bn1(y.conv1(x)))))
        torch.testing.assert_close(features["res2"], y, rtol=1e-4, atol=1e-4)
        y = torchvisions_resnext.layer2(y)
        torch.testing.assert_close(features["res3"], y, rtol=1e-4, atol=1e-4)
        y = torchvisions_resnext.layer4(torchvisions_resnext.layer3(y))
        torch.testing.assert_close(features["res5"], y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "depth", "groups", "width"),
    [("resnet50", 50, 1, 64), ("resnext101_32x8d", 101, 32, 8), ("resnext101_64x4d", 101, 64, 4)],
)
def test_names_and_shapes_agree_with_detectron2(name, depth, groups, width):
    assert name in convert_torchvision.MODELS
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name).state_dict()
        ours = build_backbone(resnet_config(depth, groups, width)).state_dict()
    converted = convert_torchvision.convert(theirs)
    shapes, expected = ({k: v.shape for k, v in x.items()} for x in (converted, ours))
    assert shapes == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"cat", "cannot be loaded as weights"),
        ({"a": 1}, "does not have the weights of a"),
    ],
)
def test_files_without_weights_raise(content, message, tmp_path, capsys):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(SystemExit) as info:
        convert_torchvision.main(["--weights", str(path), "--output", str(tmp_path / "o/x.pth")])
    assert info.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "o").exists()
