"""Which parts of the model learn, and from which frames."""

import copy

import numpy as np
import pytest
import torch
import torch.distributed
from small_models import CONFIGS, FULL, TINY, build, clip, compute_losses, video
from torch.nn.parallel import DistributedDataParallel

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
    total = sum(compute_losses(model, clips()).values())
    assert total.isfinite()
    total.backward()
    # DistributedDataParallel waits for all gradients.
    assert all(x.grad is not None for x in model.parameters())


@pytest.mark.parametrize("train_on_partner", [False, True])
def test_detector_learns_from_partners_if_configured(train_on_partner):
    model = build(TINY, "MODEL.MASKPROP.TRAIN_ON_PARTNER", train_on_partner)
    numbers = []
    model.roi_heads.register_forward_pre_hook(
        lambda _, args: numbers.append([len(x) for x in args[3]])
    )
    compute_losses(model, [clip((8, 8, 48, 40), (30, 20, 90, 60), gone=[1]), clip((8, 8, 48, 40))])
    assert numbers == [[2, 1, 1, 1] if train_on_partner else [2, 1]]


def test_ground_truth_masks_are_gradually_replaced_by_predicted_ones():
    model = build(TINY, "MODEL.MASKPROP.PROPAGATION.GT_MASK_ITERS", 10)
    masks = []
    model.propagation.register_forward_pre_hook(lambda _, args: masks.append(args[0]))
    for iteration in (0, 10):
        compute_losses(model, [clip((8, 8, 48, 40))], iteration)
    assert set(masks[0].unique().tolist()) == {0.0, 1.0}
    assert len(masks[1].unique()) > 2


def test_refinement_loss_trains_the_mask_head_too():
    model = build(FULL)
    losses = compute_losses(model, [clip((10, 10, 50, 40), (30, 20, 90, 60))])
    torch.nn.init.normal_(model.refinement.predictor.weight)
    parameters = [model.roi_heads.mask_head[0].mask_fcn1.weight, model.refinement.predictor.weight]
    gradients = torch.autograd.grad(losses["loss_refinement"], parameters, retain_graph=True)
    assert all((x != 0).any() for x in gradients)
    (propagation_gradient,) = torch.autograd.grad(
        losses["loss_propagation"], parameters[:1], allow_unused=True
    )
    assert propagation_gradient is None


def test_refinement_is_trained_on_inexact_boxes():
    model = build(FULL)
    seen = []
    model.refinement.register_forward_hook(lambda _, args, __: seen.append(args[1:]))
    own = (10, 10, 50, 40), (30, 20, 96, 64)
    compute_losses(model, [clip(*own)])
    ((masks, boxes, crops),) = seen
    # Jittered and clipped to the image, with the masks that the mask head predicts in them.
    assert (boxes != torch.tensor(own)).any(1).all()
    assert (boxes >= 0).all() and (boxes[:, 2::4] <= 96).all() and (boxes[:, 3::4] <= 64).all()
    assert masks.requires_grad and len(masks) == 2
    torch.testing.assert_close(crops, model.refinement.crop_boxes(boxes))


def test_only_propagation_learns_if_the_detector_is_frozen():
    # Otherwise this detector learns from both frames and updates its batch norms.
    model = build(TINY, "SOLVER.FROZEN", ["detector"])
    propagation_names = {f"propagation.{name}" for name, _ in model.propagation.named_parameters()}
    trainable = {name for name, x in model.named_parameters() if x.requires_grad}
    assert trainable == propagation_names
    seen = []
    model.backbone.register_forward_hook(lambda *args: seen.append(args[2]))
    model.proposal_generator.register_forward_hook(lambda *_: pytest.fail("the RPN runs"))
    optimizer = Trainer.build_optimizer(load_config(str(TINY), []), model)
    before = copy.deepcopy(model.state_dict())
    for clips in ([clip((8, 8, 48, 40), (30, 20, 90, 60), gone=[1])], [clip()]):
        losses = compute_losses(model, clips)
        assert set(losses) == {"loss_propagation"}
        optimizer.zero_grad()
        losses["loss_propagation"].backward()
        # DistributedDataParallel waits for all gradients.
        assert all(x.grad is not None for x in model.propagation.parameters())
        optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and changed <= propagation_names
    assert {"propagation.deform_weight", "propagation.attention.weight"} <= changed
    assert len(seen) == 2
    for level in [x for features in seen for x in features.values()]:
        assert level.grad_fn is None and not level.requires_grad


def test_embedding_head_learns_alone_or_beside_propagation():
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
        losses = compute_losses(alone, batch)
        assert set(losses) == {"loss_masktrack"}
        alone.zero_grad()
        losses["loss_masktrack"].backward()
        # DistributedDataParallel waits for all gradients.
        assert all(x.grad is not None for x in alone.embedding.parameters())
    both = compute_losses(build(TINY, *head), clips)
    assert {"loss_masktrack", "loss_propagation", "loss_mask"} <= set(both)
    assert "embedding" not in build(TINY).parts
    assert "embedding" in build(TINY, "MODEL.MASKPROP.TRACKER", "masktrack").parts


@pytest.mark.parametrize("method", MASK_PROPAGATORS)
@pytest.mark.parametrize("freeze", [True, False])
def test_mask_propagator_learns_in_place_of_the_propagation_branch(method, freeze):
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
        losses = compute_losses(model, clips)
        assert "loss_propagation" not in losses
        model.zero_grad()
        sum(losses.values()).backward()
        # DistributedDataParallel waits for all gradients.
        assert all(x.grad is not None for x in model.parameters() if x.requires_grad)


def test_gradients_of_mixed_precision_have_the_strides_of_their_parameters():
    """Otherwise ``DistributedDataParallel`` warns and copies them."""
    model = build(FULL)
    with torch.autocast("cpu", torch.bfloat16):
        losses = compute_losses(model, [clip((10, 10, 50, 40), (30, 20, 90, 60))])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.stride() == parameter.stride(), name


@pytest.mark.parametrize("weight", [1.0, 0.0])
@pytest.mark.parametrize("freeze", [True, False])
def test_refinement_loss_is_independent_of_the_frozen_detector(weight, freeze):
    refinement = {"ENABLED": True, "CROP_SIZE": 16, "CHANNELS": 8, "NUM_GROUPS": 4}
    options = {f"REFINEMENT.{k}": v for k, v in refinement.items()}
    options["REFINEMENT.LOSS_WEIGHT"] = weight
    pairs = [x for k, v in options.items() for x in (f"MODEL.MASKPROP.{k}", v)]
    model = build(TINY, *pairs, "SOLVER.FROZEN", ["detector"] if freeze else [])
    # Its last layer starts at zero, so that no other layer would have a gradient.
    torch.nn.init.normal_(model.refinement.predictor.weight)
    for clips in ([clip((8, 8, 48, 40), (30, 20, 90, 60))], [clip()]):
        losses = compute_losses(model, clips)
        assert ("loss_refinement" in losses) == (weight > 0)
        model.zero_grad()
        sum(losses.values()).backward()
        learns = [x.grad is not None for x in model.refinement.parameters()]
        assert all(learns) if weight > 0 else not any(learns)
        assert (model.backbone.bottom_up.stem.conv1.weight.grad is None) == freeze


def test_zero_loss_weights_work_with_ddp_and_move_no_weights():
    keys = ["REFINEMENT.ENABLED", "MASKTRACK.ENABLED"]
    weights = [f"{x}.LOSS_WEIGHT" for x in ("PROPAGATION", "REFINEMENT", "MASKTRACK")]
    options = {**dict.fromkeys(keys, True), **dict.fromkeys(weights, 0.0)}
    options |= {"REFINEMENT.CROP_SIZE": 16, "MASKTRACK.FC_DIM": 16}
    model = build(TINY, *(x for k, v in options.items() for x in (f"MODEL.MASKPROP.{k}", v)))
    cfg = load_config(str(TINY), ["SOLVER.WEIGHT_DECAY", 0.1])
    optimizer = Trainer.build_optimizer(cfg, model)
    before = copy.deepcopy(model.state_dict())
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        distributed = DistributedDataParallel(model)
        # It reports missing gradients in the second step.
        for _ in range(2):
            losses = compute_losses(distributed, [clip((8, 8, 48, 40), (30, 20, 90, 60))])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
    finally:
        torch.distributed.destroy_process_group()
    assert not {"loss_propagation", "loss_refinement", "loss_masktrack"} & set(losses)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    moved = {name.split(".")[0] for name in changed}
    assert moved == {"backbone", "proposal_generator", "roi_heads"}


def test_crop_classifier_learns_alone_and_classifies_detections():
    options = ["MODEL.MASKPROP.REFINEMENT.ENABLED", False]
    model = build(CONFIGS / "moving_shapes/maskprop_tiny_ensemble.yaml", *options)
    names = {f"crop_classifier.{x}" for x, _ in model.crop_classifier.named_parameters()}
    assert {name for name, x in model.named_parameters() if x.requires_grad} == names
    for clips in ([clip((8, 8, 48, 40), (30, 20, 90, 60))], [clip()]):
        losses = compute_losses(model, clips)
        assert set(losses) == {"loss_crop_classifier"}
        model.zero_grad()
        losses["loss_crop_classifier"].backward()
        # DistributedDataParallel waits for all gradients.
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
