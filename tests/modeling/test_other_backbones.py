"""Backbones of Detectron2 other than ResNets."""

import sys
import types

import pytest
import torch
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    FPN,
    SimpleFeaturePyramid,
    SwinTransformer,
    ViT,
    build_model,
)
from detectron2.modeling.backbone import swin
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from small_models import FULL, clip, compute_losses, video

from maskprop_d2.engine import load_config


@pytest.fixture(autouse=True)
def fake_timm(monkeypatch):
    """Detectron2's ViT imports two classes from timm that Detectron2 and torch have too."""
    timm = types.SimpleNamespace(Mlp=swin.Mlp, DropPath=torch.nn.Identity)
    for name in ("timm", "timm.models", "timm.models.layers"):
        monkeypatch.setitem(sys.modules, name, timm)


@BACKBONE_REGISTRY.register()
def build_small_vitdet_backbone(cfg, input_shape):
    return SimpleFeaturePyramid(
        small_vit(),
        in_feature="last_feat",
        out_channels=64,
        scale_factors=(4.0, 2.0, 1.0, 0.5),
        top_block=LastLevelMaxPool(),
        square_pad=cfg.TEST_SQUARE_PAD,
    )


def small_vit():
    return ViT(
        img_size=64,
        patch_size=16,
        embed_dim=32,
        depth=2,
        num_heads=2,
        window_size=2,
        window_block_indexes=[0],
        use_rel_pos=True,
        out_feature="last_feat",
    )


@BACKBONE_REGISTRY.register()
def build_small_swin_backbone(cfg, input_shape):
    transformer = SwinTransformer(
        embed_dim=16,
        depths=(1, 1, 2, 1),
        num_heads=(1, 2, 2, 4),
        window_size=4,
        drop_path_rate=0.0,
    )
    levels = ["p0", "p1", "p2", "p3"]
    return FPN(
        transformer,
        levels,
        out_channels=64,
        square_pad=cfg.TEST_SQUARE_PAD,
        top_block=LastLevelMaxPool(),
    )


def with_backbone(name, square_pad=0, *options):
    cfg = load_config(str(FULL), ["INPUT.MIN_SIZE_TEST", 60, *options])
    cfg.TEST_SQUARE_PAD = square_pad
    cfg.MODEL.BACKBONE.NAME = name
    torch.manual_seed(0)
    return build_model(cfg)


@pytest.mark.parametrize("name", ["vitdet", "swin"])
def test_other_backbones(name):
    model = with_backbone(f"build_small_{name}_backbone")
    losses = compute_losses(model, [clip((10, 10, 50, 40), size=(61, 83)), clip((5, 5, 60, 40))])
    sum(losses.values()).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), parameter
    model.eval()
    model.roi_heads.final_predictor.test_score_thresh = 0.0
    (output,) = model([{"frames": video(3, (61, 83))}])
    assert len(output["track_ids"]) > 0
    # Training and inference prepare frames alike.
    frame = torch.from_numpy(video(1, (60, 83))[0]).permute(2, 0, 1)
    images, _ = model.frame_settings.prepare(frame[None])
    assert torch.equal(images, model.preprocess_image([{"image": frame}]).tensor)


def test_backbone_that_pads_to_squares_raises():
    with pytest.raises(ValueError, match="square_pad=0, so that frames keep their shape"):
        with_backbone("build_small_vitdet_backbone", 128)
