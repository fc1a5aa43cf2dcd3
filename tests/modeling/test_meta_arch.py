"""Every config builds, trains a step and runs on a video; and what the model promises."""

import copy
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2 import model_zoo
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.layers import ShapeSpec
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
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from maskprop_d2 import add_maskprop_config
from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.errors import MissingWeightsError
from maskprop_d2.modeling import HybridTaskCascadeHeads
from maskprop_d2.modeling.options import propagation_options
from maskprop_d2.ops.masks import paste_masks
from maskprop_d2.propagation import PropagationBranch
from maskprop_d2.tracking import MASK_PROPAGATORS, OWN_WEIGHTS, TRACKERS

CONFIGS = Path(__file__).parents[2] / "configs"
MODEL_CONFIGS = sorted(p for p in CONFIGS.rglob("*.yaml") if not p.name.startswith("Base-"))
TINY = CONFIGS / "moving_shapes/maskprop_tiny.yaml"
FULL = CONFIGS / "moving_shapes/maskprop_tiny_full.yaml"


def build(config_file, *options):
    torch.manual_seed(0)
    cfg = load_config(str(config_file), ["MODEL.WEIGHTS", "", "INPUT.MIN_SIZE_TEST", 64, *options])
    return build_model(cfg)


def rectangles(*boxes, size=(64, 96)):
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return BitMasks(masks)


def pair(*boxes, gone=(), size=(64, 96), classes=None):
    """A training pair; the objects in ``gone`` cannot be seen in the partner."""
    generator = torch.Generator().manual_seed(len(boxes))
    instances = Instances(size)
    instances.gt_masks = rectangles(*boxes, size=size)
    instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
    instances.gt_classes = torch.arange(len(boxes)) if classes is None else torch.tensor(classes)
    instances.gt_ids = torch.arange(len(boxes)) + 7
    instances.partner_masks = rectangles(*boxes, size=size)
    for i in gone:
        instances.partner_masks.tensor[i] = False
    images = torch.randint(0, 255, (2, 3, *size), generator=generator, dtype=torch.uint8)
    of_partner = Instances(size)
    of_partner.gt_masks = instances.partner_masks
    of_partner.gt_boxes = of_partner.gt_masks.get_bounding_boxes()
    of_partner.gt_classes = instances.gt_classes
    of_partner.gt_ids = instances.gt_ids
    return {
        "image": images[0],
        "partner_image": images[1],
        "instances": instances,
        "partner_instances": of_partner[of_partner.gt_boxes.nonempty()],
        "sem_seg": torch.randint(0, 3, size, generator=generator, dtype=torch.uint8),
        "partner_sem_seg": torch.randint(0, 3, size, generator=generator, dtype=torch.uint8),
    }


def losses_of(model, pairs, iteration=0):
    model.train()
    with EventStorage(iteration):
        return model(pairs)


def video(length, size=(64, 96)):
    return list(np.random.default_rng(0).integers(0, 255, (length, *size, 3), dtype=np.uint8))


def shrunk(config_file):
    """Options that leave a config its parts and levels, but make all of them small."""
    options = load_config(str(config_file), []).MODEL
    # Without trained weights, frozen statistics would let the activations grow without bound.
    small = {"RESNETS.NORM": "BN"}
    if options.BACKBONE.NAME == "build_resnet_fpn_backbone":
        small.update({"FPN.OUT_CHANNELS": 32, "ROI_BOX_HEAD.FC_DIM": 64})
        small.update({"ROI_MASK_HEAD.CONV_DIM": 32, "MASKPROP.PROPAGATION.OFFSET_CHANNELS": 32})
        small.update({"MASKPROP.SEMANTIC.CONV_DIM": 32, "MASKPROP.REFINEMENT.CHANNELS": 32})
        small.update({"MASKPROP.REFINEMENT.CROP_SIZE": 24, "MASKPROP.STSN.CHANNELS": 16})
        if options.RESNETS.DEPTH >= 50:
            width = max(16 // options.RESNETS.NUM_GROUPS, 1)
            small.update({"RESNETS.DEPTH": 50, "RESNETS.WIDTH_PER_GROUP": width})
            small.update({"RESNETS.RES2_OUT_CHANNELS": 64})
    return [x for key, value in small.items() for x in (f"MODEL.{key}", value)]


@pytest.mark.parametrize("config_file", MODEL_CONFIGS, ids=lambda p: f"{p.parent.stem}-{p.stem}")
def test_every_config_trains_and_runs(config_file):
    model = build(config_file, *shrunk(config_file))
    pairs = [pair((10, 10, 50, 40), (30, 20, 90, 60), gone=[1]), pair((5, 5, 60, 60))]
    losses = losses_of(model, pairs)
    assert set(losses) == expected_losses(model)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    model.eval()
    # An untrained model detects nothing above the threshold; let it.
    model.roi_heads.final_predictor.test_score_thresh = 0.0
    (output,) = model([{"frames": video(3)}])
    assert output["image_size"] == (64, 96)
    assert len(output["track_ids"]) > 0
    assert all(len(masks) == 3 for masks in output["pred_masks"])


def expected_losses(model):
    """Names of the losses of a model with these parts."""
    learners = list(model.mask_propagators) or ["propagation"]
    of_tracking = {f"loss_{x}" for x in learners if model.propagation_loss.weight > 0}
    if model.embedding is not None:
        of_tracking.add("loss_masktrack")
    if model.freeze_detector:
        return of_tracking
    of_rois = {"loss_cls", "loss_box_reg", "loss_mask"}
    if isinstance(model.roi_heads, HybridTaskCascadeHeads):
        of_rois = {f"{name}_stage{stage}" for name in of_rois for stage in range(3)}
    names = {"loss_rpn_cls", "loss_rpn_loc"} | of_tracking | of_rois
    if model.semantic_branch is not None:
        names.add("loss_semantic")
    if model.refinement is not None:
        names.add("loss_refinement")
    return names


@BACKBONE_REGISTRY.register()
def build_small_vitdet_backbone(cfg, input_shape):
    # Of timm, which is not needed for anything else, it takes what Detectron2 has elsewhere too.
    timm = types.SimpleNamespace(Mlp=swin.Mlp, DropPath=torch.nn.Identity)
    names = ("timm", "timm.models", "timm.models.layers")
    with mock.patch.dict(sys.modules, dict.fromkeys(names, timm)):
        vit = small_vit()
    return SimpleFeaturePyramid(
        vit,
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
def test_backbones_that_are_no_resnet(name):
    model = with_backbone(f"build_small_{name}_backbone")
    losses = losses_of(model, [pair((10, 10, 50, 40), size=(61, 83)), pair((5, 5, 60, 40))])
    sum(losses.values()).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), parameter
    model.eval()
    model.roi_heads.final_predictor.test_score_thresh = 0.0
    (output,) = model([{"frames": video(3, (61, 83))}])
    assert len(output["track_ids"]) > 0
    # In training and inference the network gets the same.
    frame = torch.from_numpy(video(1, (60, 83))[0]).permute(2, 0, 1)
    images, _ = model.frame_settings.prepare(frame[None])
    assert torch.equal(images, model.preprocess_image([{"image": frame}]).tensor)


def test_a_backbone_that_pads_to_squares_is_refused():
    with pytest.raises(ValueError, match="square_pad=0, so that frames keep their shape"):
        with_backbone("build_small_vitdet_backbone", 128)


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(lambda: [pair()], id="no object"),
        pytest.param(lambda: [pair(), pair((5, 5, 40, 40))], id="one pair without object"),
        pytest.param(lambda: [pair((5, 5, 40, 40), gone=[0])], id="all objects gone"),
        pytest.param(
            lambda: [pair((5, 5, 40, 40), size=(61, 83)), pair((9, 5, 40, 40), size=(77, 50))],
            id="odd sizes",
        ),
    ],
)
@pytest.mark.parametrize("config_file", [TINY, FULL], ids=lambda p: p.stem)
def test_training_on_unusual_pairs(config_file, pairs):
    model = build(config_file)
    total = sum(losses_of(model, pairs()).values())
    assert total.isfinite()
    total.backward()
    # Without it, training with many processes would stop.
    assert all(x.grad is not None for x in model.parameters())


def test_frames_of_odd_size_and_without_detection():
    model = build(TINY).eval()
    model.roi_heads.final_predictor.test_score_thresh = 2.0
    (output,) = model([{"frames": video(2, (61, 83))}])
    assert output["image_size"] == (61, 83)
    assert output["track_ids"] == []


def test_refinement_starts_from_the_masks_of_the_detector():
    """Its crops lie in the frame, not in the network's input, and show what the frame shows."""
    refined = build(FULL, "MODEL.MASKPROP.REFINEMENT.CROP_SIZE", 96).eval()
    plain = build(FULL, "MODEL.MASKPROP.REFINEMENT.ENABLED", False).eval()
    plain.load_state_dict(refined.state_dict(), strict=False)
    frames = torch.from_numpy(np.stack(video(2, (90, 130)))).permute(0, 3, 1, 2)
    seen = []
    refined.refinement.register_forward_hook(lambda *x: seen.append(x[1]))
    outputs = []
    for model in (refined, plain):
        model.roi_heads.final_predictor.test_score_thresh = 0.0
        with torch.no_grad():
            outputs.append(model.detect(frames))
    mean = torch.tensor([110.0])[:, None, None]
    for frame, (image, *_) in zip(frames, seen, strict=True):
        torch.testing.assert_close(image * 60 + mean, frame.float())
    for a, b in zip(*outputs, strict=True):
        assert len(a) == len(b) > 0
        assert torch.equal(a.boxes_video, b.boxes_video) and torch.equal(a.grid_masks, b.grid_masks)
        assert torch.equal(b.mask_boxes_video, b.boxes_video)
        assert a.box_masks.shape[1:] == (96, 96)
        pasted = [paste_masks(x.box_masks, x.mask_boxes_video, 90, 130) for x in (a, b)]
        differing = (pasted[0] - pasted[1]).abs().sum((1, 2)) / pasted[1].sum((1, 2)).clamp(min=20)
        assert differing.max() < 0.1


def test_refinement_teaches_the_mask_head_too():
    model = build(FULL)
    losses = losses_of(model, [pair((10, 10, 50, 40), (30, 20, 90, 60))])
    torch.nn.init.normal_(model.refinement.predictor.weight)
    parameters = [model.roi_heads.mask_head[0].mask_fcn1.weight, model.refinement.predictor.weight]
    gradients = torch.autograd.grad(losses["loss_refinement"], parameters, retain_graph=True)
    assert all((x != 0).any() for x in gradients)
    (of_propagation,) = torch.autograd.grad(
        losses["loss_propagation"], parameters[:1], allow_unused=True
    )
    assert of_propagation is None


def test_switching_the_implementation_changes_no_result():
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
        losses.append(losses_of(model, [pair((10, 10, 50, 40), (30, 20, 90, 60))]))
    assert outputs[0].shape[1] > 0
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-5)
    for name, loss in losses[0].items():
        torch.testing.assert_close(loss, losses[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("train_on_partner", [False, True])
def test_the_detector_learns_from_the_partner_if_wanted(train_on_partner):
    model = build(TINY, "MODEL.MASKPROP.TRAIN_ON_PARTNER", train_on_partner)
    numbers = []
    losses = model.roi_heads.forward
    model.roi_heads.forward = lambda images, features, proposals, targets: (
        numbers.append([len(x) for x in targets]),
        losses(images, features, proposals, targets),
    )[1]
    losses_of(model, [pair((8, 8, 48, 40), (30, 20, 90, 60), gone=[1]), pair((8, 8, 48, 40))])
    assert numbers == [[2, 1, 1, 1] if train_on_partner else [2, 1]]


def test_with_a_frozen_detector_only_propagation_learns():
    # Its detector would be trained on both frames, and its batch norms keep statistics.
    model = build(TINY, "MODEL.MASKPROP.FREEZE_DETECTOR", True)
    of_propagation = {f"propagation.{name}" for name, _ in model.propagation.named_parameters()}
    trainable = {name for name, x in model.named_parameters() if x.requires_grad}
    assert trainable == of_propagation
    seen = []
    model.backbone.register_forward_hook(lambda *args: seen.append(args[2]))
    model.proposal_generator.register_forward_hook(lambda *_: pytest.fail("there is no need"))
    optimizer = Trainer.build_optimizer(load_config(str(TINY), []), model)
    before = copy.deepcopy(model.state_dict())
    for pairs in ([pair((8, 8, 48, 40), (30, 20, 90, 60), gone=[1])], [pair()]):
        losses = losses_of(model, pairs)
        assert set(losses) == {"loss_propagation"}
        optimizer.zero_grad()
        losses["loss_propagation"].backward()
        # Without a gradient for each of them, training with many processes would stop.
        assert all(x.grad is not None for x in model.propagation.parameters())
        optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and changed <= of_propagation
    assert {"propagation.deform_weight", "propagation.attention.weight"} <= changed
    assert len(seen) == 2
    for level in [x for features in seen for x in features.values()]:
        assert level.grad_fn is None and not level.requires_grad


def test_an_embedding_head_learns_alone_or_beside_propagation():
    head = ["MODEL.MASKPROP.MASKTRACK.ENABLED", True, "MODEL.MASKPROP.MASKTRACK.FC_DIM", 16]
    pairs = [pair((8, 8, 48, 40), (30, 20, 90, 60), gone=[1])]
    alone = build(
        TINY,
        *head,
        *("MODEL.MASKPROP.FREEZE_DETECTOR", True, "MODEL.MASKPROP.PROPAGATION.LOSS_WEIGHT", 0.0),
    )
    trainable = {name for name, x in alone.named_parameters() if x.requires_grad}
    assert trainable == {f"embedding.{name}" for name, _ in alone.embedding.named_parameters()}
    for batch in (pairs, [pair()], [pair((8, 8, 48, 40), gone=[0])]):
        losses = losses_of(alone, batch)
        assert set(losses) == {"loss_masktrack"}
        alone.zero_grad()
        losses["loss_masktrack"].backward()
        # Without a gradient for each of them, training with many processes would stop.
        assert all(x.grad is not None for x in alone.embedding.parameters())
    both = losses_of(build(TINY, *head), pairs)
    assert {"loss_masktrack", "loss_propagation", "loss_mask"} <= set(both)
    assert build(TINY).embedding is None
    assert build(TINY, "MODEL.MASKPROP.TRACKER", "masktrack").embedding is not None


def test_detections_get_embeddings_of_their_boxes():
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
        # Both sides are scaled alike but for rounding.
        torch.testing.assert_close(x.embeddings, vectors, rtol=0.02, atol=0.02)
        assert not torch.allclose(vectors[0], vectors[1], rtol=0.02)
    model.roi_heads.box_predictor.test_score_thresh = 2.0
    assert model.detect(frames)[0].embeddings.shape == (0, 16)


@pytest.mark.parametrize("method", MASK_PROPAGATORS)
@pytest.mark.parametrize("freeze", [True, False])
def test_a_methods_own_network_learns_in_the_place_of_the_propagation_branch(method, freeze):
    model = build(TINY, "MODEL.MASKPROP.TRACKER", method, "MODEL.MASKPROP.FREEZE_DETECTOR", freeze)
    network = model.mask_propagator(method)
    learners = {id(x) for x in network.parameters()}
    trainable = {id(x) for x in model.parameters() if x.requires_grad}
    assert learners <= trainable and (trainable == learners) == freeze
    assert not any(x.requires_grad for x in model.propagation.parameters())
    for pairs in ([pair((8, 8, 48, 40), (30, 20, 90, 60), gone=[1])], [pair()]):
        losses = losses_of(model, pairs)
        assert "loss_propagation" not in losses
        model.zero_grad()
        sum(losses.values()).backward()
        # Without a gradient for each of them, training with many processes would stop.
        assert all(x.grad is not None for x in model.parameters() if x.requires_grad)


def test_nothing_is_built_for_other_methods():
    names = {}
    for method in TRACKERS:
        model = build(TINY, "MODEL.MASKPROP.TRACKER", method)
        names[method] = set(model.state_dict())
        own = {x for x in names[method] if x.startswith(OWN_WEIGHTS.get(method, "nothing"))}
        assert bool(own) == (method in OWN_WEIGHTS)
        assert names[method] - own == names["maskprop"]
    with pytest.raises(MissingWeightsError, match="no weights of the tracking method 'feelvos'"):
        model.mask_propagator("feelvos")


@pytest.mark.parametrize("method", MASK_PROPAGATORS)
def test_maps_of_a_methods_own_network_are_kept_in_full_precision(method):
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


def test_a_frozen_detector_stays_in_eval_mode():
    model = build(TINY, "MODEL.MASKPROP.FREEZE_DETECTOR", True)
    assert model.train() is model
    assert model.training and model.propagation.training
    detector = (model.backbone, model.proposal_generator, model.roi_heads)
    assert not any(x.training for part in detector for x in part.modules())
    assert not any(x.training for x in model.eval().modules())
    learning = build(TINY).train()
    assert all(x.training for x in learning.backbone.modules())


def test_ground_truth_masks_give_way_to_predicted_ones():
    model = build(TINY, "MODEL.MASKPROP.PROPAGATION.GT_MASK_ITERS", 10)
    seen = []
    propagation = model.propagation.forward
    model.propagation.forward = lambda masks, *args: (
        seen.append(masks),
        propagation(masks, *args),
    )[1]
    pairs = [pair((8, 8, 48, 40))]
    for iteration in (0, 10):
        losses_of(model, pairs, iteration)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert len(seen[1].unique()) > 2


@pytest.mark.parametrize(
    ("zoo_config", "config_file", "options", "new"),
    [
        pytest.param(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
            "maskprop_R_50_FPN.yaml",
            [],
            ("propagation.",),
            id="Mask R-CNN",
        ),
        pytest.param(
            "Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5.yaml",
            "maskprop_R_50_FPN.yaml",
            ["MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]],
            ("propagation.",),
            id="deformable",
        ),
        pytest.param(
            "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml",
            "maskprop_HTC_R_50_FPN.yaml",
            [],
            ("propagation.", "refinement.", "semantic_branch.", "roi_heads.mask_flow."),
            id="cascade",
        ),
    ],
)
def test_detectron2s_checkpoints_load(zoo_config, config_file, options, new, tmp_path):
    """The layout of the zoo's COCO weights, made by saving Detectron2's own model."""
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(zoo_config))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    theirs = build_model(cfg)
    torch.save({"model": theirs.state_dict()}, tmp_path / "zoo.pth")
    config_file = CONFIGS / "youtubevis_2019" / config_file
    model = build(config_file, "MODEL.ROI_HEADS.NUM_CLASSES", 80, *options)
    parts = {name: value for name, value in model.state_dict().items() if name.startswith(new)}
    found = None

    class Checkpointer(DetectionCheckpointer):
        def _log_incompatible_keys(self, incompatible):
            nonlocal found
            found = incompatible

    Checkpointer(model).load(str(tmp_path / "zoo.pth"))
    assert found.unexpected_keys == [] and found.incorrect_shapes == []
    assert set(found.missing_keys) == set(parts)
    for part in new:
        assert any(name.startswith(part) for name in parts)
    loaded = model.state_dict()
    for name, value in theirs.state_dict().items():
        names = [name]
        if name not in loaded:
            # One mask head for all stages.
            head = name.removeprefix("roi_heads.mask_head.")
            names = [f"roi_heads.mask_head.{stage}.{head}" for stage in range(3)]
        assert all(torch.equal(loaded[x], value) for x in names), name


def test_propagation_is_built_from_the_config_as_in_the_paper():
    cfg = get_cfg()
    add_maskprop_config(cfg)
    shapes = {"p3": ShapeSpec(channels=256, stride=8)}
    module = PropagationBranch(**propagation_options(cfg, shapes))
    assert module.deform_weight.shape == (3, 256, 256, 3, 3)
    assert module.offset_predictor.conv2.weight.shape == (128, 128, 3, 3)
    assert module.dilations == [3, 6, 12]


@pytest.mark.parametrize("size", [(61, 83), (64, 96), (90, 40)])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_frames_are_prepared_as_detectron2_does_it(size, channels):
    """As ``Trainer`` sees them: read in the config's order, resized, normalised, padded."""
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


def test_an_unknown_pyramid_level_is_refused():
    with pytest.raises(ValueError, match="IN_FEATURE is 'p9', but the backbone gives only p2, p3"):
        build(TINY, "MODEL.MASKPROP.PROPAGATION.IN_FEATURE", "p9")
