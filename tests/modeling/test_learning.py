"""What of the model learns, from which frames of a clip, and what it learns from."""

import copy

import numpy as np
import pytest
import torch
from small_models import CONFIGS, FULL, TINY, build, clip, losses_of, video

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.tracking import MASK_PROPAGATORS


@pytest.mark.parametrize(
    "clips",
    [
        pytest.param(lambda: [clip()], id="no object"),
        pytest.param(lambda: [clip(), clip((5, 5, 40, 40))], id="one clip without object"),
        pytest.param(lambda: [clip((5, 5, 40, 40), gone=[0])], id="all objects gone"),
        pytest.param(
            lambda: [clip((5, 5, 40, 40), size=(61, 83)), clip((9, 5, 40, 40), size=(77, 50))],
            id="odd sizes",
        ),
        pytest.param(
            lambda: [clip((5, 5, 40, 40), (20, 9, 60, 50), gone=[1], frames=4), clip(frames=4)],
            id="four frames",
        ),
    ],
)
@pytest.mark.parametrize("config_file", [TINY, FULL], ids=lambda p: p.stem)
def test_training_on_unusual_clips(config_file, clips):
    model = build(config_file)
    total = sum(losses_of(model, clips()).values())
    assert total.isfinite()
    total.backward()
    # Without it, training with many processes would stop.
    assert all(x.grad is not None for x in model.parameters())


@pytest.mark.parametrize("train_on_partner", [False, True])
def test_the_detector_learns_from_the_partner_if_wanted(train_on_partner):
    model = build(TINY, "MODEL.MASKPROP.TRAIN_ON_PARTNER", train_on_partner)
    numbers = []
    losses = model.roi_heads.forward
    model.roi_heads.forward = lambda images, features, proposals, targets: (
        numbers.append([len(x) for x in targets]),
        losses(images, features, proposals, targets),
    )[1]
    losses_of(model, [clip((8, 8, 48, 40), (30, 20, 90, 60), gone=[1]), clip((8, 8, 48, 40))])
    assert numbers == [[2, 1, 1, 1] if train_on_partner else [2, 1]]


def test_ground_truth_masks_give_way_to_predicted_ones():
    model = build(TINY, "MODEL.MASKPROP.PROPAGATION.GT_MASK_ITERS", 10)
    seen = []
    propagation = model.propagation.forward
    model.propagation.forward = lambda masks, *args: (
        seen.append(masks),
        propagation(masks, *args),
    )[1]
    clips = [clip((8, 8, 48, 40))]
    for iteration in (0, 10):
        losses_of(model, clips, iteration)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert len(seen[1].unique()) > 2


def test_refinement_teaches_the_mask_head_too():
    model = build(FULL)
    losses = losses_of(model, [clip((10, 10, 50, 40), (30, 20, 90, 60))])
    torch.nn.init.normal_(model.refinement.predictor.weight)
    parameters = [model.roi_heads.mask_head[0].mask_fcn1.weight, model.refinement.predictor.weight]
    gradients = torch.autograd.grad(losses["loss_refinement"], parameters, retain_graph=True)
    assert all((x != 0).any() for x in gradients)
    (of_propagation,) = torch.autograd.grad(
        losses["loss_propagation"], parameters[:1], allow_unused=True
    )
    assert of_propagation is None


def test_refinement_learns_on_boxes_like_detected_ones():
    model = build(FULL)
    seen = []
    model.refinement.register_forward_hook(lambda _, args, __: seen.append(args[1:]))
    own = (10, 10, 50, 40), (30, 20, 96, 64)
    losses_of(model, [clip(*own)])
    ((masks, boxes, crops),) = seen
    # Moved, but not out of the image; with the mask head's masks of these very boxes.
    assert (boxes != torch.tensor(own)).any(1).all()
    assert (boxes >= 0).all() and (boxes[:, 2::4] <= 96).all() and (boxes[:, 3::4] <= 64).all()
    assert masks.requires_grad and len(masks) == 2
    torch.testing.assert_close(crops, model.refinement.crop_boxes(boxes))


def test_with_a_frozen_detector_only_propagation_learns():
    # Its detector would be trained on both frames, and its batch norms keep statistics.
    model = build(TINY, "SOLVER.FROZEN", ["detector"])
    of_propagation = {f"propagation.{name}" for name, _ in model.propagation.named_parameters()}
    trainable = {name for name, x in model.named_parameters() if x.requires_grad}
    assert trainable == of_propagation
    seen = []
    model.backbone.register_forward_hook(lambda *args: seen.append(args[2]))
    model.proposal_generator.register_forward_hook(lambda *_: pytest.fail("there is no need"))
    optimizer = Trainer.build_optimizer(load_config(str(TINY), []), model)
    before = copy.deepcopy(model.state_dict())
    for clips in ([clip((8, 8, 48, 40), (30, 20, 90, 60), gone=[1])], [clip()]):
        losses = losses_of(model, clips)
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
    clips = [clip((8, 8, 48, 40), (30, 20, 90, 60), gone=[1])]
    alone = build(
        TINY,
        *head,
        *("SOLVER.FROZEN", ["detector"], "MODEL.MASKPROP.PROPAGATION.LOSS_WEIGHT", 0.0),
    )
    trainable = {name for name, x in alone.named_parameters() if x.requires_grad}
    assert trainable == {f"embedding.{name}" for name, _ in alone.embedding.named_parameters()}
    for batch in (clips, [clip()], [clip((8, 8, 48, 40), gone=[0])]):
        losses = losses_of(alone, batch)
        assert set(losses) == {"loss_masktrack"}
        alone.zero_grad()
        losses["loss_masktrack"].backward()
        # Without a gradient for each of them, training with many processes would stop.
        assert all(x.grad is not None for x in alone.embedding.parameters())
    both = losses_of(build(TINY, *head), clips)
    assert {"loss_masktrack", "loss_propagation", "loss_mask"} <= set(both)
    assert "embedding" not in build(TINY).parts
    assert "embedding" in build(TINY, "MODEL.MASKPROP.TRACKER", "masktrack").parts


@pytest.mark.parametrize("method", MASK_PROPAGATORS)
@pytest.mark.parametrize("freeze", [True, False])
def test_a_methods_own_network_learns_in_the_place_of_the_propagation_branch(method, freeze):
    model = build(
        TINY, "MODEL.MASKPROP.TRACKER", method, "SOLVER.FROZEN", ["detector"] if freeze else []
    )
    network = model.mask_propagator(method)
    learners = {id(x) for x in network.parameters()}
    trainable = {id(x) for x in model.parameters() if x.requires_grad}
    assert learners <= trainable and (trainable == learners) == freeze
    assert not any(x.requires_grad for x in model.propagation.parameters())
    moving = ((8, 8, 48, 40), (30, 20, 90, 60))
    for clips in ([clip(*moving, gone=[1])], [clip(*moving, gone=[1], frames=3)], [clip()]):
        losses = losses_of(model, clips)
        assert "loss_propagation" not in losses
        model.zero_grad()
        sum(losses.values()).backward()
        # Without a gradient for each of them, training with many processes would stop.
        assert all(x.grad is not None for x in model.parameters() if x.requires_grad)


def test_gradients_of_mixed_precision_have_the_strides_of_their_parameters():
    """Else ``DistributedDataParallel`` warns, and copies them."""
    model = build(FULL)
    with torch.autocast("cpu", torch.bfloat16):
        losses = losses_of(model, [clip((10, 10, 50, 40), (30, 20, 90, 60))])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.stride() == parameter.stride(), name


@pytest.mark.parametrize("weight", [1.0, 0.0])
@pytest.mark.parametrize("freeze", [True, False])
def test_refinement_learns_by_its_own_weight_whether_the_detector_does_or_not(weight, freeze):
    of_refinement = {"ENABLED": True, "CROP_SIZE": 16, "CHANNELS": 8, "NUM_GROUPS": 4}
    options = {f"REFINEMENT.{k}": v for k, v in of_refinement.items()}
    options["REFINEMENT.LOSS_WEIGHT"] = weight
    pairs = [x for k, v in options.items() for x in (f"MODEL.MASKPROP.{k}", v)]
    model = build(TINY, *pairs, "SOLVER.FROZEN", ["detector"] if freeze else [])
    # It starts without an effect, and hence without gradients but in its last layer.
    torch.nn.init.normal_(model.refinement.predictor.weight)
    for clips in ([clip((8, 8, 48, 40), (30, 20, 90, 60))], [clip()]):
        losses = losses_of(model, clips)
        assert ("loss_refinement" in losses) == (weight > 0)
        model.zero_grad()
        sum(losses.values()).backward()
        learns = [x.grad is not None for x in model.refinement.parameters()]
        assert all(learns) if weight > 0 else not any(learns)
        assert (model.backbone.bottom_up.stem.conv1.weight.grad is None) == freeze


def test_the_crop_classifier_learns_alone_and_sees_what_is_detected():
    options = ["MODEL.MASKPROP.REFINEMENT.ENABLED", False]
    model = build(CONFIGS / "moving_shapes/maskprop_tiny_ensemble.yaml", *options)
    of_classifier = {f"crop_classifier.{x}" for x, _ in model.crop_classifier.named_parameters()}
    assert {name for name, x in model.named_parameters() if x.requires_grad} == of_classifier
    for clips in ([clip((8, 8, 48, 40), (30, 20, 90, 60))], [clip()]):
        losses = losses_of(model, clips)
        assert set(losses) == {"loss_crop_classifier"}
        model.zero_grad()
        losses["loss_crop_classifier"].backward()
        # Without a gradient for each of them, training with many processes would stop.
        assert all(x.grad is not None for x in model.crop_classifier.parameters())
    assert losses["loss_crop_classifier"] == 0
    model.eval().roi_heads.final_predictor.test_score_thresh = 0.0
    frames = torch.from_numpy(np.stack(video(2, (61, 83)))).permute(0, 3, 1, 2)
    with torch.no_grad():
        outputs = model.detect(frames)
        for frame, x in zip(frames, outputs, strict=True):
            image = model.frame_settings.normalize(frame)
            expected = model.crop_classifier(image, x.box_masks, x.boxes_video, x.boxes_video)
            assert x.crop_scores.shape == (len(x), 10) and len(x) > 1
            torch.testing.assert_close(x.crop_scores, expected.softmax(1))
        model.roi_heads.final_predictor.test_score_thresh = 2.0
        assert model.detect(frames)[0].crop_scores.shape == (0, 10)
