"""A model with STSN, in training and streaming inference."""

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from small_models import TINY, clip, compute_losses, video

from maskprop_d2 import add_maskprop_config
from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.checkpoint import Checkpointer
from maskprop_d2.modeling.options import stsn_options

SEMANTIC = TINY.with_name("maskprop_tiny_semantic.yaml")
LENGTH = 5


def build(*options, config_file=TINY):
    torch.manual_seed(0)
    enabled = {"ENABLED": True, "CHANNELS": 16, "RADIUS": 2}
    stsn = [x for k, v in enabled.items() for x in (f"MODEL.MASKPROP.STSN.{k}", v)]
    small = ["MODEL.WEIGHTS", "", "INPUT.MIN_SIZE_TEST", 64, "TEST.DETECTIONS_PER_IMAGE", 5]
    model = Trainer.build_model(load_config(str(config_file), [*small, *stsn, *options])).eval()
    model.roi_heads.final_predictor.test_score_thresh = 0.0
    if "stsn" in model.parts:
        for layer in [*model.stsn.motion, model.stsn.sampling]:
            torch.nn.init.normal_(layer.offsets.weight, std=0.1)
    return model


def batched(frames, size):
    stacked = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    return stacked.split(size)


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert len(a) == len(b) > 0
        for name in ("boxes_video", "scores", "grid_masks"):
            x, y = getattr(a, name), getattr(b, name)
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)
        for name, x in a.maps.items():
            torch.testing.assert_close(x, b.maps[name], rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_stream_agrees_with_one_batch_and_encodes_each_frame_once():
    model = build(config_file=SEMANTIC)
    frames = video(LENGTH)
    seen = []
    model.backbone.register_forward_hook(lambda *x: seen.append(len(x[1][0])))
    (batch,) = batched(frames, LENGTH)
    images, size = model.frame_settings.prepare(batch)
    plain = model.pyramid(images)
    one_by_one = [{k: v[t : t + 1] for k, v in plain.items()} for t in range(LENGTH)]
    expected = []
    for t in range(LENGTH):
        around = [s for s in range(LENGTH) if 0 < abs(s - t) <= 2]
        pyramid = model.stsn(one_by_one[t], [one_by_one[s] for s in around])
        assert not torch.allclose(pyramid["p3"], one_by_one[t]["p3"], rtol=0.01)
        # The semantic branch also gets the supported pyramid.
        (found,) = model.find_objects(pyramid, size)
        expected.append(found)
    for per_batch in (1, 2, 4, LENGTH):
        seen.clear()
        found = list(model.detect_stream(batched(frames, per_batch)))
        assert sum(seen) == LENGTH and max(seen) == per_batch
        for a, b in zip(found, expected, strict=True):
            # Duplicates are dropped later.
            assert 0 < len(a) <= len(b.scores)
            torch.testing.assert_close(a.scores[0], b.scores[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(
                a.boxes_video[0] * size[0] / 64, b.boxes[0], rtol=1e-3, atol=1e-2
            )
    assert_same(found, list(model.detect_stream(batched(frames, 2))))
    assert_same(model.detect(batch), found)


@pytest.mark.parametrize(
    "options",
    [
        ["MODEL.MASKPROP.TRACKER", "iou"],
        ["MODEL.MASKPROP.LINKING.FINAL_MASK", "fill", "MODEL.MASKPROP.CLIP_RADIUS", 1],
        ["MODEL.MASKPROP.TRACKER", "seqtracker"],
        ["MODEL.MASKPROP.TRACKER", "osmn", "MODEL.MASKPROP.PRECISION", "bfloat16"],
    ],
    ids=lambda x: x[1],
)
def test_videos_of_any_length_with_other_methods(options):
    model = build(*options)
    frames = video(LENGTH)
    for i, frame in enumerate(frames):
        frame[0, 0] = i
    for length in (1, 2, LENGTH):
        stream = model.segmenter.stream(frames[:length])
        results = list(stream)
        assert [x.index for x in results] == list(range(length))
        assert [x.frame[0, 0, 0] for x in results] == list(range(length))
        assert all(len(x.masks) == length for x in stream.iter_tracks())
        assert len(stream.tracks().track_ids) > 0


@torch.inference_mode()
def test_video_of_one_frame_is_processed_as_without_stsn():
    model, plain = build(), build("MODEL.MASKPROP.STSN.ENABLED", False)
    plain.load_state_dict(model.state_dict(), strict=False)
    assert "stsn" not in plain.parts
    (frame,) = batched(video(1), 1)
    assert_same(model.detect(frame), plain.detect(frame))


@pytest.mark.parametrize("length", [2, 3])
def test_partners_support_each_other_in_training_and_the_block_learns(length):
    # Only the detector's losses of the key frames remain.
    model = build("MODEL.MASKPROP.PROPAGATION.LOSS_WEIGHT", 0.0)
    boxes = [[(10, 10, 50, 40), (30, 20, 90, 60)], [(5, 5, 60, 60)], []]
    clips = [clip(*x, frames=length) for x in boxes]
    sum(compute_losses(model, clips).values()).backward()
    for name, parameter in model.stsn.named_parameters():
        assert parameter.grad.isfinite().all() and (parameter.grad != 0).any(), name
    seen = []
    model.stsn.register_forward_pre_hook(lambda _, x: seen.append((x[0], x[1])))
    compute_losses(model, clips)
    frames = [id(frame) for frame, _ in seen]
    assert len(frames) == length and all(len(frame["p3"]) == 3 for frame, _ in seen)
    for frame, (_, supports) in zip(frames, seen, strict=True):
        assert [id(x) for x in supports] == [x for x in frames if x != frame]


def test_frozen_detector_includes_stsn():
    model = build("SOLVER.FROZEN", ["detector"])
    losses = compute_losses(model, [clip((10, 10, 50, 40))])
    assert set(losses) == {"loss_propagation"} and not model.stsn.training
    assert not any(x.requires_grad for x in model.stsn.parameters())
    losses["loss_propagation"].backward()


def test_weights_without_stsn_lack_only_its_block(tmp_path):
    plain, model = build("MODEL.MASKPROP.STSN.ENABLED", False), build()
    torch.save({"model": plain.state_dict()}, tmp_path / "plain.pth")
    checkpointer = Checkpointer(model)
    checkpointer.load(str(tmp_path / "plain.pth"))
    assert set(checkpointer.missing) == {f"stsn.{name}" for name in model.stsn.state_dict()}


def test_levels_with_different_channels_raise():
    cfg = get_cfg()
    add_maskprop_config(cfg)
    options = cfg.MODEL.MASKPROP.STSN
    shapes = {f"p{i}": ShapeSpec(channels=64, stride=2**i) for i in (3, 4, 5)}
    assert stsn_options(cfg, shapes)["in_channels"] == 64
    shapes["p2"] = ShapeSpec(channels=32, stride=4)
    for levels in (["p2", "p3"], ["p3", "p9"], []):
        options.IN_FEATURES = levels
        with pytest.raises(
            ValueError, match=r"STSN\.IN_FEATURES is .*p5 \(64\), p2 \(32\): choose"
        ):
            stsn_options(cfg, shapes)
