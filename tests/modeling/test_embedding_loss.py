"""The loss of the embedding head."""

import math

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch.nn import functional as F

from maskprop_d2.modeling.losses import EmbeddingLoss, matching_logits
from maskprop_d2.modeling.training_clips import ClipBatch
from maskprop_d2.networks.embedding import EmbeddingHead


def make_objects(boxes, ids):
    objects = Instances((64, 64))
    objects.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4).float())
    objects.gt_ids = torch.tensor(ids, dtype=torch.int64)
    return objects


def make_head(**changes):
    options = {"levels": ["p2"], "stride": 4, "in_channels": 3, "resolution": 2, "fc_dim": 16}
    return EmbeddingHead(**{**options, **changes})


def compute_loss(head, pyramid, key_objects, partner_objects):
    objects = [*key_objects, *partner_objects]
    batch = ClipBatch([None] * len(key_objects), None, pyramid, objects, None)
    return EmbeddingLoss("embedding", 1.0)(head, batch)


def test_labels_follow_ids_and_missing_objects_are_new():
    known = [torch.tensor([[5.0, 0], [0, 5]]), torch.zeros(0, 2)]

    def scripted_head(pyramid, boxes):
        # Objects 3 and 8 of frame t look like objects 3 and 8 of its partner.
        look = {0.0: [5.0, 0], 20.0: [0, 5.0], 40.0: [-1.0, -1]}
        found = [torch.tensor([look[round(x[0].item(), -1)] for x in y]) for y in boxes[:2]]
        return [*found, *known]

    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    torch.manual_seed(0)
    partner = make_objects([[1, 1, 9, 9], [2, 2, 8, 8]], [3, 8])
    key_objects = [make_objects(boxes, [3, 8, 5]), make_objects(boxes[:1], [3])]
    partners = [partner, make_objects([], [])]
    assert compute_loss(scripted_head, {}, key_objects, partners) < 0.01
    partner.gt_ids = torch.tensor([8, 3])
    # About half of all regions show one of the two objects that are now confused.
    assert compute_loss(scripted_head, {}, key_objects, partners) > 0.4 * 25


def test_loss_is_the_mean_over_partners():
    torch.manual_seed(0)
    head, level = make_head(), torch.randn(4, 3, 16, 16)
    target = make_objects([[0, 0, 20, 40], [30, 30, 60, 50]], [3, 8])
    partners = [
        make_objects([[5, 0, 30, 40]], [8]),
        make_objects([], []),
        make_objects([[9, 9, 50, 50]], [3]),
    ]

    def loss(*indices):
        torch.manual_seed(0)
        frames = level[[0, *(i + 1 for i in indices)]]
        return compute_loss(head, {"p2": frames}, [target], [partners[i] for i in indices])

    torch.testing.assert_close(loss(0, 1, 2), (loss(0) + loss(1) + loss(2)) / 3)


def test_logits_are_exact_in_mixed_precision():
    torch.manual_seed(0)
    found, known = torch.randn(3, 64) * 4, torch.randn(2, 64) * 4
    with torch.autocast("cpu", torch.bfloat16):
        logits = matching_logits(found, known)
    torch.testing.assert_close(logits, F.pad(found @ known.T, (1, 0)))


def test_loss_without_objects_has_zero_gradients():
    head = make_head()
    loss = compute_loss(head, {"p2": torch.rand(2, 3, 16, 16)}, *[[make_objects([], [])]] * 2)
    loss.backward()
    assert loss == 0 and all((x.grad == 0).all() for x in head.parameters())


def test_head_learns_to_tell_objects_by_their_color():
    """Objects of eight colors; two of three in frame t are in the partner, elsewhere."""
    torch.manual_seed(0)
    # Of the magnitude that the head's initial weights are made for.
    colors = 4 * torch.randn(8, 32)
    head = make_head(in_channels=32, fc_dim=64)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.002)
    corners = torch.tensor([[0, 0], [0, 8], [8, 0], [8, 8]])

    def draw(ids):
        level, boxes = torch.zeros(32, 16, 16), []
        for i, (x, y) in zip(ids, corners[torch.randperm(4)].tolist(), strict=False):
            level[:, y : y + 6, x : x + 6] = colors[i][:, None, None]
            boxes.append([4 * x, 4 * y, 4 * x + 24, 4 * y + 24])
        return level, make_objects(boxes, ids)

    values = []
    for _ in range(150):
        ids = torch.randperm(8).tolist()
        pairs = [(draw(ids[:3]), draw(ids[1:4])), (draw(ids[4:6]), draw(ids[4:7]))]
        frames, partners = zip(*pairs, strict=True)
        levels = torch.stack([x[0] for x in (*frames, *partners)])
        value = compute_loss(head, {"p2": levels}, [x[1] for x in frames], [x[1] for x in partners])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[0] == pytest.approx(math.log(4), abs=0.05)
    assert sum(values[-20:]) / 20 < 0.4
