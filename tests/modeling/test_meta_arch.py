"""Every config builds, trains a step and runs on a video; and what the model promises."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2 import model_zoo
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from maskprop_d2 import add_maskprop_config
from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.errors import MissingWeightsError
from maskprop_d2.modeling.meta_arch import propagation_options
from maskprop_d2.propagation import PropagationBranch
from maskprop_d2.tracking import MASK_PROPAGATORS, TRACKERS

CONFIGS = Path(__file__).parents[2] / "configs"
MODEL_CONFIGS = sorted(p for p in CONFIGS.rglob("*.yaml") if not p.name.startswith("Base-"))
TINY = CONFIGS / "moving_shapes/maskprop_tiny.yaml"


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
    instances.partner_masks = rectangles(*boxes, size=size)
    for i in gone:
        instances.partner_masks.tensor[i] = False
    images = torch.randint(0, 255, (2, 3, *size), generator=generator, dtype=torch.uint8)
    of_partner = Instances(size)
    of_partner.gt_masks = instances.partner_masks
    of_partner.gt_boxes = of_partner.gt_masks.get_bounding_boxes()
    of_partner.gt_classes = instances.gt_classes
    return {
        "image": images[0],
        "partner_image": images[1],
        "instances": instances,
        "partner_instances": of_partner[of_partner.gt_boxes.nonempty()],
    }


def losses_of(model, pairs, iteration=0):
    model.train()
    with EventStorage(iteration):
        return model(pairs)


def video(length, size=(64, 96)):
    return list(np.random.default_rng(0).integers(0, 255, (length, *size, 3), dtype=np.uint8))


@pytest.mark.parametrize("config_file", MODEL_CONFIGS, ids=lambda p: p.stem)
def test_every_config_trains_and_runs(config_file):
    # Without trained weights, frozen statistics would let the activations grow without bound.
    model = build(config_file, "MODEL.RESNETS.NORM", "BN")
    pairs = [pair((10, 10, 50, 40), (30, 20, 90, 60), gone=[1]), pair((5, 5, 60, 60))]
    losses = losses_of(model, pairs)
    of_detector = {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg", "loss_mask"}
    # By their names, methods that have networks of their own train these, over what is frozen.
    learner = config_file.stem.rpartition("_")[2]
    learner = learner if learner in MASK_PROPAGATORS else "propagation"
    frozen = learner != "propagation" or config_file.stem.endswith(("frozen", "stills"))
    assert set(losses) == {f"loss_{learner}"} | (set() if frozen else of_detector)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    model.eval()
    # An untrained model detects nothing above the threshold; let it.
    model.roi_heads.box_predictor.test_score_thresh = 0.0
    (output,) = model([{"frames": video(3)}])
    assert output["image_size"] == (64, 96)
    assert len(output["track_ids"]) > 0
    assert all(len(masks) == 3 for masks in output["pred_masks"])


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
def test_training_on_unusual_pairs(pairs):
    model = build(TINY)
    total = sum(losses_of(model, pairs()).values())
    assert total.isfinite()
    total.backward()
    # Without it, training with many processes would stop.
    assert all(x.grad is not None for x in model.parameters())


def test_frames_of_odd_size_and_without_detection():
    model = build(TINY).eval()
    model.roi_heads.box_predictor.test_score_thresh = 2.0
    (output,) = model([{"frames": video(2, (61, 83))}])
    assert output["image_size"] == (61, 83)
    assert output["track_ids"] == []


def test_switching_the_implementation_changes_no_result():
    state = None
    outputs, losses = [], []
    for impl in ("fused", "literal"):
        model = build(TINY, "MODEL.MASKPROP.PROPAGATION.IMPL", impl)
        state = state or copy.deepcopy(model.state_dict())
        model.load_state_dict(state)
        model.eval()
        frame = torch.from_numpy(np.stack(video(3))).permute(0, 3, 1, 2)
        model.roi_heads.box_predictor.test_score_thresh = 0.0
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
        own = {x for x in names[method] if x.startswith("mask_propagators.")}
        assert all(x.startswith(f"mask_propagators.{method}.") for x in own)
        assert bool(own) == (method in MASK_PROPAGATORS)
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


def test_detectron2s_mask_rcnn_checkpoints_load(tmp_path):
    """The layout of the zoo's COCO weights, made by saving Detectron2's own model."""
    cfg = get_cfg()
    config_file = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    cfg.merge_from_file(model_zoo.get_config_file(config_file))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    theirs = build_model(cfg)
    torch.save({"model": theirs.state_dict()}, tmp_path / "zoo.pth")
    model = build(CONFIGS / "ytvis_2019/maskprop_R_50_FPN.yaml", "MODEL.ROI_HEADS.NUM_CLASSES", 80)
    found = None

    class Checkpointer(DetectionCheckpointer):
        def _log_incompatible_keys(self, incompatible):
            nonlocal found
            found = incompatible

    Checkpointer(model).load(str(tmp_path / "zoo.pth"))
    assert found.unexpected_keys == []
    assert found.missing_keys and all(k.startswith("propagation.") for k in found.missing_keys)
    for name, value in theirs.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


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
