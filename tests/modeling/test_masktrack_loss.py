import math

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch.nn import functional as F
from torchvision.ops import box_iou

from maskprop_d2.modeling.masktrack_loss import MaskTrackLoss, matching_logits
from maskprop_d2.modeling.regions import POSITIVE_IOU, moved, regions_around
from maskprop_d2.networks.embedding import EmbeddingHead


def objects(boxes, ids):
    found = Instances((64, 64))
    found.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4).float())
    found.gt_ids = torch.tensor(ids, dtype=torch.int64)
    return found


def head(**changes):
    options = {"levels": ["p2"], "stride": 4, "in_channels": 3, "resolution": 2, "fc_dim": 16}
    return EmbeddingHead(**{**options, **changes})


def test_regions_are_positive_and_among_them_the_ground_truth():
    torch.manual_seed(0)
    boxes = torch.tensor([[0.0, 0, 20, 40], [30, 30, 60, 50]])
    regions, owners = regions_around(boxes, 8)
    assert torch.equal(regions[:2], boxes) and owners[:2].tolist() == [0, 1]
    overlaps = box_iou(regions, boxes)[torch.arange(len(regions)), owners]
    assert (overlaps > POSITIVE_IOU).all() and overlaps.min() < 0.7
    assert 8 < len(regions) <= 16
    regions, owners = regions_around(torch.zeros(0, 4), 8)
    assert regions.shape == (0, 4) and owners.shape == (0,)


def test_moved_boxes_stay_with_their_objects():
    boxes = torch.tensor([[10.0, 20, 50, 40], [0, 0, 30, 90]]).repeat(200, 1)
    moved_boxes = moved(boxes, 0.5)
    overlaps = box_iou(moved_boxes, boxes).diagonal()
    assert 0.59 < overlaps.min() < 0.7 and 0.75 < overlaps.mean() < 0.85
    # They cut the object off as often as not.
    assert 0.4 < (moved_boxes[:, 0] > boxes[:, 0]).float().mean() < 0.6
    assert moved(torch.zeros(0, 4), 0.5).shape == (0, 4)


def test_targets_go_by_id_and_those_that_are_gone_are_new():
    known = [torch.tensor([[5.0, 0], [0, 5]]), torch.zeros(0, 2)]

    def scripted(pyramid, boxes):
        # Object 3 and object 8 of frame t look like objects 3 and 8 of its partner.
        look = {0.0: [5.0, 0], 20.0: [0, 5.0], 40.0: [-1.0, -1]}
        found = [torch.tensor([look[round(x[0].item(), -1)] for x in y]) for y in boxes[:2]]
        return [*found, *known]

    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    torch.manual_seed(0)
    partner = objects([[1, 1, 9, 9], [2, 2, 8, 8]], [3, 8])
    targets = [objects(boxes, [3, 8, 5]), objects(boxes[:1], [3])]
    loss = MaskTrackLoss(weight=1.0)(scripted, {}, targets, [partner, objects([], [])])
    assert loss < 0.01
    partner.gt_ids = torch.tensor([8, 3])
    wrong = MaskTrackLoss(weight=2.0)(scripted, {}, targets, [partner, objects([], [])])
    # About half of all regions are of the two that look like the other one.
    assert wrong > 2 * 0.4 * 25


def test_of_more_partners_it_is_the_mean():
    torch.manual_seed(0)
    embed, level = head(), torch.randn(4, 3, 16, 16)
    target = objects([[0, 0, 20, 40], [30, 30, 60, 50]], [3, 8])
    partners = [objects([[5, 0, 30, 40]], [8]), objects([], []), objects([[9, 9, 50, 50]], [3])]

    def loss(*numbers):
        torch.manual_seed(0)
        frames = level[[0, *(i + 1 for i in numbers)]]
        return MaskTrackLoss(1.0)(embed, {"p2": frames}, [target], [partners[i] for i in numbers])

    torch.testing.assert_close(loss(0, 1, 2), (loss(0) + loss(1) + loss(2)) / 3)


def test_logits_are_exact_in_mixed_precision():
    torch.manual_seed(0)
    found, known = torch.randn(3, 64) * 4, torch.randn(2, 64) * 4
    with torch.autocast("cpu", torch.bfloat16):
        logits = matching_logits(found, known)
    torch.testing.assert_close(logits, F.pad(found @ known.T, (1, 0)))


def test_without_any_object_there_is_a_gradient_of_zero():
    embed = head()
    loss = MaskTrackLoss(1.0)(embed, {"p2": torch.rand(2, 3, 16, 16)}, *[[objects([], [])]] * 2)
    loss.backward()
    assert loss == 0 and all((x.grad == 0).all() for x in embed.parameters())


def test_it_learns_to_tell_objects_by_their_colour():
    """Objects of eight colours; of three in frame t two are in the partner, elsewhere."""
    torch.manual_seed(0)
    # Of the size that the head's first weights are made for.
    colors = 4 * torch.randn(8, 32)
    embed, loss = head(in_channels=32, fc_dim=64), MaskTrackLoss(1.0)
    optimizer = torch.optim.Adam(embed.parameters(), lr=0.002)
    corners = torch.tensor([[0, 0], [0, 8], [8, 0], [8, 8]])

    def draw(ids):
        level, boxes = torch.zeros(32, 16, 16), []
        for i, (x, y) in zip(ids, corners[torch.randperm(4)].tolist(), strict=False):
            level[:, y : y + 6, x : x + 6] = colors[i][:, None, None]
            boxes.append([4 * x, 4 * y, 4 * x + 24, 4 * y + 24])
        return level, objects(boxes, ids)

    values = []
    for _ in range(150):
        ids = torch.randperm(8).tolist()
        pairs = [(draw(ids[:3]), draw(ids[1:4])), (draw(ids[4:6]), draw(ids[4:7]))]
        frames, partners = zip(*pairs, strict=True)
        levels = torch.stack([x[0] for x in (*frames, *partners)])
        value = loss(embed, {"p2": levels}, [x[1] for x in frames], [x[1] for x in partners])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[0] == pytest.approx(math.log(4), abs=0.05)
    assert sum(values[-20:]) / 20 < 0.4


def test_regions_come_from_the_level_of_their_size():
    embed = head(levels=["p2", "p3"])
    pyramid = {"p2": torch.rand(1, 3, 128, 128), "p3": torch.rand(1, 3, 64, 64), "other": None}
    boxes = [torch.tensor([[0.0, 0, 20, 20], [0, 0, 500, 500]])]
    (before,) = embed(pyramid, boxes)
    pyramid["p3"] = torch.rand(1, 3, 64, 64)
    (after,) = embed(pyramid, boxes)
    assert torch.equal(before[0], after[0]) and not torch.allclose(before[1], after[1], rtol=1e-3)
