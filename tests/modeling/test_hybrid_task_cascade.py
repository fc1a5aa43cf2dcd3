"""The stages of the cascade: their inputs, training and outputs."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_loss
from detectron2.structures import BitMasks, Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import EventStorage

from maskprop_d2.engine import load_config
from maskprop_d2.errors import InputError
from maskprop_d2.modeling.roi_heads import hybrid_task_cascade

CASCADE = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny_cascade.yaml"
SIZE = (64, 96)


def build(*options):
    torch.manual_seed(0)
    # With group norms an RoI has the same output in training.
    norms = [x for head in ("BOX", "MASK") for x in (f"MODEL.ROI_{head}_HEAD.NORM", "GN")]
    return build_model(load_config(str(CASCADE), [*norms, *options])).roi_heads


@pytest.fixture
def pyramid():
    generator = torch.Generator().manual_seed(0)
    return {
        f"p{i}": torch.randn(1, 64, SIZE[0] >> i, SIZE[1] >> i, generator=generator)
        for i in range(2, 6)
    }


BOXES = Boxes(torch.tensor([[4.0, 4.0, 44.0, 40.0], [30.0, 20.0, 90.0, 60.0]]))


def proposals():
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20, 4, generator=generator) * 4
    x = Instances(SIZE)
    x.proposal_boxes = Boxes(BOXES.tensor.repeat(10, 1) + noise)
    x.proposal_boxes.clip(SIZE)
    x.objectness_logits = torch.zeros(20)
    return [x]


def targets(boxes=BOXES):
    x = Instances(SIZE)
    x.gt_boxes = boxes
    x.gt_classes = torch.arange(len(boxes))
    masks = torch.zeros(len(boxes), *SIZE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.tensor.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    x.gt_masks = BitMasks(masks)
    return [x]


def train(heads, pyramid, truth=None):
    torch.manual_seed(3)
    heads.train()
    with EventStorage(0):
        images = ImageList(torch.zeros(1, 3, *SIZE), [SIZE])
        return heads(images, pyramid, proposals(), truth or targets())[1]


def same_stages_without_flow(heads):
    """Give all stages the weights of the first, without refinement and flow between them."""
    for parts in (heads.box_head, heads.box_predictor, heads.mask_head):
        torch.nn.init.normal_(
            parts[0].predictor.weight if parts is heads.mask_head else next(parts[0].parameters()),
            std=0.5,
        )
        for part in parts[1:]:
            part.load_state_dict(parts[0].state_dict())
    for predictor in heads.box_predictor:
        torch.nn.init.zeros_(predictor.bbox_pred.weight)
    for flow in heads.mask_flow:
        torch.nn.init.zeros_(flow.weight)


def test_mask_features_flow_from_the_first_to_the_last_stage():
    heads = build().eval()
    pooled = torch.randn(2, 64, 14, 14)

    def last_logits():
        head = heads.mask_head[2]
        return hybrid_task_cascade.upsampled_logits(head, heads._mask_features(pooled, 2)[-1])

    before = last_logits()
    change = heads.mask_head[0].conv_norm_relus[-1].register_forward_hook(lambda *x: x[2] + 1)
    assert (last_logits() - before).abs().max() > 1e-4
    for flow in heads.mask_flow:
        torch.nn.init.zeros_(flow.weight)
    without_flow = last_logits()
    change.remove()
    torch.testing.assert_close(last_logits(), without_flow)


def test_gradients_flow_back_along_the_chain(pyramid):
    heads = build()
    losses = train(heads, pyramid)
    first = heads.mask_head[0].conv_norm_relus[0].weight
    (gradient,) = torch.autograd.grad(losses["loss_mask_stage2"], first)
    assert (gradient != 0).any()


def test_mean_of_equal_stages_is_each_of_them(pyramid):
    heads = build("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0).eval()
    same_stages_without_flow(heads)
    with torch.no_grad():
        (averaged,) = heads(None, pyramid, proposals())[0]
        heads.num_cascade_stages = 1
        heads.mask_head = heads.mask_head[:1]
        (single,) = heads(None, pyramid, proposals())[0]
    assert len(averaged) == len(single) > 2
    assert single.class_scores.std() > 0.01 and single.pred_masks.std() > 0.01
    for name in ("scores", "class_scores", "pred_masks"):
        torch.testing.assert_close(averaged.get(name), single.get(name))
    torch.testing.assert_close(averaged.pred_boxes.tensor, single.pred_boxes.tensor)


def test_class_logits_and_mask_probabilities_are_averaged(pyramid):
    heads = build("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0).eval()
    class_logits, mask_logits = [], []
    for predictor, head in zip(heads.box_predictor, heads.mask_head, strict=True):
        torch.nn.init.normal_(predictor.cls_score.weight, std=0.5)
        torch.nn.init.normal_(head.predictor.weight, std=0.5)
        predictor.register_forward_hook(lambda *x: class_logits.append(x[2][0]))
        head.predictor.register_forward_hook(lambda *x: mask_logits.append(x[2]))
    with torch.no_grad():
        (found,) = heads(None, pyramid, proposals())[0]
    expected = torch.stack(class_logits).mean(0).softmax(1)
    distances = torch.cdist(found.class_scores, expected)
    torch.testing.assert_close(distances.amin(1), torch.zeros(len(found)), atol=1e-5, rtol=0)
    expected = torch.stack(mask_logits).sigmoid().mean(0)
    torch.testing.assert_close(found.pred_masks, expected)


def test_each_mask_head_is_trained_on_refined_boxes_of_its_stage(pyramid, monkeypatch):
    # Large enough to sample all proposals.
    heads = build("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 128)
    box_rois, mask_rois = [], []
    heads.box_pooler.register_forward_hook(lambda *x: box_rois.append(x[1][1][0].tensor))
    heads.mask_pooler.register_forward_hook(lambda *x: mask_rois.append(x[1][1][0].tensor))
    # Each stage shifts boxes by their width divided by its regression weight.
    for predictor in heads.box_predictor:
        torch.nn.init.zeros_(predictor.bbox_pred.weight)
        predictor.bbox_pred.bias.data = torch.tensor([1.0, 0.0, 0.0, 0.0])
    seen = []
    monkeypatch.setattr(
        hybrid_task_cascade,
        "mask_rcnn_loss",
        lambda logits, x, *args: (seen.append(x[0]), mask_rcnn_loss(logits, x, *args))[1],
    )
    losses = train(heads, pyramid)
    assert len(box_rois) == len(mask_rois) == 3
    truth = {tuple(box) for box in BOXES.tensor.tolist()}
    for stage, (boxes, masks) in enumerate(zip(box_rois, mask_rois, strict=True)):
        shift = (boxes[:, 2] - boxes[:, 0]) / (10, 20, 1 / 0.033)[stage]
        refined = boxes + shift[:, None] * torch.tensor([1, 0, 1, 0])
        refined[:, 2].clamp_(max=SIZE[1])
        is_truth = torch.tensor([tuple(box) in truth for box in boxes.tolist()])
        assert is_truth.sum() == 2, "the ground truth is among the RoIs once"
        allowed = torch.cat([refined[~is_truth], BOXES.tensor])
        assert len(masks) > 2
        assert torch.cdist(masks, allowed).amin(1).max() < 1e-3
        # Samples have targets, and the stage's own IoU threshold.
        assert seen[stage].gt_masks.tensor.shape[1:] == SIZE
        overlaps = torch.diag(pairwise_iou(seen[stage].proposal_boxes, seen[stage].gt_boxes))
        assert overlaps.min() >= (0.5, 0.6, 0.7)[stage]
    assert losses["loss_mask_stage2"] > 0


def test_boxes_shrink_as_much_as_they_grow_at_most():
    """Hybrid Task Cascade limits both; Detectron2's cascade only growth."""
    for predictor, weight in zip(build().box_predictor, (5, 10, 1 / 0.067), strict=True):
        decode = predictor.box2box_transform.apply_deltas
        box = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
        size = decode(torch.tensor([[0.0, 0.0, -30.0 * weight, -2.0 * weight]]), box)[0]
        torch.testing.assert_close(size[2] - size[0], torch.tensor(1.6))
        torch.testing.assert_close(size[3] - size[1], 100 * torch.tensor(-2.0).exp())


def test_stage_losses_are_weighted(pyramid):
    names = ("MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS", [1.0, 1.0, 1.0])
    plain, weighted = train(build(*names), pyramid), train(build(), pyramid)
    for name, loss in plain.items():
        factor = {"0": 1, "1": 0.5, "2": 0.25}[name[-1]]
        torch.testing.assert_close(weighted[name], loss * factor, msg=name)


def test_gradients_are_not_scaled(pyramid):
    heads = build("MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS", [1.0, 1.0, 1.0]).train()
    level = pyramid["p2"].requires_grad_()
    predictions = heads._run_stage(list(pyramid.values()), proposals(), 0)
    pooled = heads.box_pooler(list(pyramid.values()), [proposals()[0].proposal_boxes])
    expected = heads.box_predictor[0](heads.box_head[0](pooled))
    gradients = [torch.autograd.grad(x[0].sum(), level)[0] for x in (predictions, expected)]
    assert (gradients[0] != 0).any()
    torch.testing.assert_close(*gradients)


def test_image_without_objects(pyramid):
    heads = build()
    losses = train(heads, pyramid, targets(Boxes(torch.zeros(0, 4))))
    sum(losses.values()).backward()
    assert all(x.grad is not None for x in heads.parameters())
    assert all(losses[f"loss_mask_stage{stage}"] == 0 for stage in range(3))


def test_weights_of_one_head_initialize_all_stages():
    heads = build()
    weights = {}
    for name, value in heads.state_dict().items():
        part, *rest = name.split(".")
        if part == "mask_head":
            if rest[0] == "1":
                weights[".".join([part, *rest[1:]])] = value
        else:
            weights[name] = value
    # Another number of categories.
    wrong = "mask_head.predictor.weight"
    weights[wrong] = torch.zeros(7, 64, 1, 1)
    for parameter in heads.mask_head.parameters():
        torch.nn.init.zeros_(parameter)
    found = heads.load_state_dict(weights, strict=False)
    assert found.unexpected_keys == [wrong]
    assert found.missing_keys == [f"mask_head.{stage}.predictor.weight" for stage in range(3)]
    for head in heads.mask_head:
        assert torch.equal(head.mask_fcn1.weight, weights["mask_head.mask_fcn1.weight"])
    # Checkpoints of the cascade itself load unchanged.
    again = build()
    again.load_state_dict(heads.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", False], "CLS_AGNOSTIC_BBOX_REG True"),
        (["MODEL.MASK_ON", False], "MODEL.MASK_ON True"),
        (
            ["MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS", [1.0, 0.5]],
            "has 2 values, but IOUS has 3 stages",
        ),
        (["MODEL.ROI_MASK_HEAD.NUM_CONV", 0], "set MODEL.ROI_MASK_HEAD.NAME"),
    ],
)
def test_configs_that_do_not_fit_a_cascade_raise(options, message):
    with pytest.raises(InputError, match=message):
        build(*options)
