"""Inference of the whole model, and how it is built."""

import copy

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.layers import ShapeSpec
from small_models import FULL, TINY, build, clip, compute_losses, video

from maskprop_d2 import add_maskprop_config
from maskprop_d2.errors import MissingWeightsError
from maskprop_d2.modeling.options import propagation_options
from maskprop_d2.networks.propagation import PropagationBranch
from maskprop_d2.ops.masks import paste_masks
from maskprop_d2.tracking import MASK_PROPAGATORS, OWN_WEIGHTS, TRACKERS


def test_frames_of_odd_size_without_detections():
    model = build(TINY).eval()
    model.roi_heads.final_predictor.test_score_thresh = 2.0
    (output,) = model([{"frames": video(2, (61, 83))}])
    assert output["image_size"] == (61, 83)
    assert output["track_ids"] == []


@pytest.mark.parametrize("size", [(61, 83), (64, 96), (90, 40)])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_frames_are_prepared_as_by_detectron2(size, channels):
    """As in training: channel order of the config, resized, normalized, padded."""
    model = build(TINY, "INPUT.FORMAT", channels, "MODEL.PIXEL_MEAN", [10.0, 20.0, 30.0])
    frame = torch.from_numpy(video(1, size)[0]).permute(2, 0, 1)
    image = frame.flip(0) if channels == "BGR" else frame
    resized = ResizeShortestEdge.get_output_shape(*size, 64, 288)
    image = torch.nn.functional.interpolate(
        image[None].float(), resized, mode="bilinear", antialias=True
    )[0]
    expected = model.preprocess_image([{"image": image}])
    images, image_size = model.frame_settings.prepare(frame[None])
    assert image_size == expected.image_sizes[0]
    assert torch.equal(images, expected.tensor)


def test_untrained_refinement_keeps_the_masks_of_the_detector():
    """Crops are taken from the frame at its own resolution, not from the network's input."""
    refined = build(FULL, "MODEL.MASKPROP.REFINEMENT.CROP_SIZE", 96).eval()
    plain = build(FULL, "MODEL.MASKPROP.REFINEMENT.ENABLED", False).eval()
    plain.load_state_dict(refined.state_dict(), strict=False)
    frames = torch.from_numpy(np.stack(video(2, (90, 130)))).permute(0, 3, 1, 2)
    inputs = []
    refined.refinement.register_forward_hook(lambda *x: inputs.append(x[1]))
    outputs = []
    for model in (refined, plain):
        model.roi_heads.final_predictor.test_score_thresh = 0.0
        with torch.no_grad():
            outputs.append(model.detect(frames))
    mean = torch.tensor([110.0])[:, None, None]
    for frame, (image, *_) in zip(frames, inputs, strict=True):
        torch.testing.assert_close(image * 60 + mean, frame.float())
    for a, b in zip(*outputs, strict=True):
        assert len(a) == len(b) > 0
        assert torch.equal(a.boxes_video, b.boxes_video) and torch.equal(a.grid_masks, b.grid_masks)
        assert torch.equal(b.mask_boxes_video, b.boxes_video)
        assert a.box_masks.shape[1:] == (96, 96)
        pasted = [paste_masks(x.box_masks, x.mask_boxes_video, 90, 130) for x in (a, b)]
        differing = (pasted[0] - pasted[1]).abs().sum((1, 2)) / pasted[1].sum((1, 2)).clamp(min=20)
        assert differing.max() < 0.1


def test_both_implementations_of_propagation_agree():
    state = None
    outputs, losses = [], []
    for impl in ("fused", "literal"):
        model = build(TINY, "MODEL.MASKPROP.PROPAGATION.IMPL", impl)
        state = state or copy.deepcopy(model.state_dict())
        model.load_state_dict(state)
        model.eval()
        frame = torch.from_numpy(np.stack(video(3))).permute(0, 3, 1, 2)
        model.roi_heads.final_predictor.test_score_thresh = 0.0
        with torch.no_grad():
            source, *targets = model.detect(frame)
            outputs.append(model.propagate(source, targets))
        torch.manual_seed(1)
        losses.append(compute_losses(model, [clip((10, 10, 50, 40), (30, 20, 90, 60))]))
    assert outputs[0].shape[1] > 0
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-5)
    for name, loss in losses[0].items():
        torch.testing.assert_close(loss, losses[1][name], rtol=1e-4, atol=1e-5)


def test_frozen_detector_stays_in_eval_mode():
    model = build(TINY, "SOLVER.FROZEN", ["detector"])
    assert model.train() is model
    assert model.training and model.propagation.training
    detector = (model.backbone, model.proposal_generator, model.roi_heads)
    assert not any(x.training for part in detector for x in part.modules())
    assert not any(x.training for x in model.eval().modules())
    learning = build(TINY).train()
    assert all(x.training for x in learning.backbone.modules())


def test_detections_have_embeddings_of_their_boxes():
    options = ["MODEL.MASKPROP.MASKTRACK.ENABLED", True, "MODEL.MASKPROP.MASKTRACK.FC_DIM", 16]
    model = build(TINY, *options).eval()
    model.roi_heads.box_predictor.test_score_thresh = 0.0
    frames = torch.from_numpy(np.stack(video(2, (61, 83)))).permute(0, 3, 1, 2)
    with torch.no_grad():
        outputs = model.detect(frames)
        images, (_, width) = model.frame_settings.prepare(frames)
        boxes = [x.boxes_video * width / 83 for x in outputs]
        expected = model.embedding(model.pyramid(images), boxes)
    for x, vectors in zip(outputs, expected, strict=True):
        assert x.embeddings.shape == (len(x), 16) and len(x) > 1
        # The scales of both sides differ by rounding.
        torch.testing.assert_close(x.embeddings, vectors, rtol=0.02, atol=0.02)
        assert not torch.allclose(vectors[0], vectors[1], rtol=0.02)
    model.roi_heads.box_predictor.test_score_thresh = 2.0
    assert model.detect(frames)[0].embeddings.shape == (0, 16)


def test_only_the_parts_of_the_tracking_method_are_built():
    names = {}
    for method in TRACKERS:
        model = build(TINY, "MODEL.MASKPROP.TRACKER", method)
        names[method] = set(model.state_dict())
        own = {x for x in names[method] if x.startswith(OWN_WEIGHTS.get(method, "nothing"))}
        assert bool(own) == (method in OWN_WEIGHTS)
        assert names[method] - own == names["maskprop"]
    with pytest.raises(MissingWeightsError, match="no weights for the tracking method 'feelvos'"):
        model.mask_propagator("feelvos")


@pytest.mark.parametrize("method", MASK_PROPAGATORS)
def test_maps_of_mask_propagators_have_full_precision(method):
    model = build(
        TINY, "MODEL.MASKPROP.TRACKER", method, "MODEL.MASKPROP.PRECISION", "bfloat16"
    ).eval()
    frame = torch.from_numpy(np.stack(video(1))).permute(0, 3, 1, 2)
    with torch.no_grad():
        (output,) = model.detect(frame)
    own = [x for name, x in output.maps.items() if name.startswith(method)]
    assert own and all(x.dtype == torch.float32 for x in own)
    assert all(x.shape[1:] == output.grid_masks.shape[1:] for x in own)
    assert "attention" in output.maps


def test_default_propagation_branch_is_that_of_the_paper():
    cfg = get_cfg()
    add_maskprop_config(cfg)
    shapes = {"p3": ShapeSpec(channels=256, stride=8)}
    module = PropagationBranch(**propagation_options(cfg, shapes))
    assert module.deform_weight.shape == (3, 256, 256, 3, 3)
    assert module.offset_predictor.conv2.weight.shape == (128, 128, 3, 3)
    assert module.dilations == [3, 6, 12]


def test_unknown_pyramid_level_raises():
    with pytest.raises(ValueError, match="IN_FEATURE is 'p9', but the backbone has only p2, p3"):
        build(TINY, "MODEL.MASKPROP.PROPAGATION.IN_FEATURE", "p9")
