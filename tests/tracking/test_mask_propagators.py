"""The networks of FEELVOS and OSMN: known results, gradients, and that they learn."""

import pytest
import torch

from maskprop_d2.ops.soft_iou import soft_iou_terms
from maskprop_d2.tracking import MASK_PROPAGATORS
from maskprop_d2.tracking import feelvos as feelvos_module
from maskprop_d2.tracking.feelvos import FEELVOS, RADIUS, match_globally, match_locally
from maskprop_d2.tracking.osmn import gaussians

CHANNELS, SIZE = 16, (14, 22)
COLORS = None  # Neither method looks at them.
each_network = pytest.mark.parametrize("method", MASK_PROPAGATORS)


def build(method):
    torch.manual_seed(0)
    return MASK_PROPAGATORS[method](CHANNELS)


def squares(*corners, side=5):
    masks = torch.zeros(len(corners), *SIZE)
    for mask, (x, y) in zip(masks, corners, strict=True):
        mask[y : y + side, x : x + side] = 1
    return masks


def painted(masks, vectors, noise=0.1):
    """(1, C, h, w) features: each object's vector under its mask."""
    features = noise * torch.randn(1, CHANNELS, *SIZE)
    for mask, vector in zip(masks, vectors, strict=True):
        features = torch.where(mask > 0.5, features + vector[:, None, None], features)
    return features


def maps_of(network, *features):
    return [{k: v[0] for k, v in network.encode(x, COLORS).items()} for x in features]


@each_network
def test_forward_and_backward(method):
    network = build(method)
    features = torch.randn(2, CHANNELS, *SIZE, requires_grad=True)
    encoded = network.encode(features, COLORS)
    source, target = [{k: v[i] for k, v in encoded.items()} for i in range(2)]
    masks = squares((1, 2), (9, 6), (15, 3))
    # Including an empty and a faint mask.
    masks[1] = 0
    masks[2] *= 0.4
    output = network(masks, source, [source, target])
    assert output.shape == (2, 3, *SIZE)
    assert (output >= 0).all() and (output.sum(1) < 1).all()
    templates = network.templates(masks, source)
    assert len(templates) == 3
    torch.testing.assert_close(network.propagate(masks, source, target, templates), output[1])
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, name
    assert features.grad.isfinite().all() and features.grad.abs().max() > 0
    assert sum(x.numel() for x in network.parameters()) < 300_000


@each_network
def test_no_object(method):
    network = build(method)
    (maps,) = maps_of(network, torch.randn(1, CHANNELS, *SIZE))
    nothing = torch.zeros(0, *SIZE)
    assert network.templates(nothing, maps) == []
    assert network(nothing, maps, [maps]).shape == (1, 0, *SIZE)


@each_network
def test_mixed_precision_costs_little_accuracy(method):
    network = build(method)
    features = torch.randn(2, 1, CHANNELS, *SIZE)
    masks = squares((1, 2), (9, 6))
    source, target = maps_of(network, *features)
    expected = network(masks, source, [target])
    with torch.autocast("cpu", torch.bfloat16):
        source, target = maps_of(network, *features)
        output = network(masks, source, [target])
    assert (output - expected).abs().max() < 0.03


@each_network
def test_it_learns_to_follow_two_objects_that_swap_places(method):
    network = build(method)
    optimizer = torch.optim.Adam(network.parameters(), 0.005)
    torch.manual_seed(1)
    vectors = 2 * torch.randn(2, CHANNELS).sign()
    losses = []
    for _ in range(60):
        (x, y), shift = torch.randint(1, 4, (2,)).tolist(), int(torch.randint(0, 3, ()))
        before = squares((x, y), (x + 8, y + 3))
        after = squares((x + 8 - shift, y + 3), (x + shift, y))
        source, target = maps_of(network, painted(before, vectors), painted(after, vectors))
        (propagated,) = network(before, source, [target])
        intersection, union = soft_iou_terms(propagated.flatten(1), after.flatten(1))
        loss = 1 - (intersection / union).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_global_matching_uses_the_nearest_embedding_of_each_object():
    embedding = torch.tensor([[0.0, 1.0, 3.0]])[:, None].expand(1, 2, 3)
    objects = [torch.tensor([[1.0], [9.0]]), torch.zeros(0, 1)]
    similarity = match_globally(embedding, objects)
    distances = torch.tensor([1.0, 0.0, 4.0])
    # The paper's distance.
    expected = 1 - (1 - 2 / (1 + distances.exp()))
    expected = torch.stack([expected.expand(2, 3), torch.zeros(2, 3)])
    torch.testing.assert_close(similarity, expected)


@pytest.mark.parametrize("rows", [1, 5, 100])
def test_local_matching_searches_a_window(rows, monkeypatch):
    monkeypatch.setattr(feelvos_module, "ROWS", rows)
    torch.manual_seed(0)
    now, before = torch.randn(2, 3, 14, 22)
    members = torch.zeros(3, 14, 22, dtype=torch.bool)
    members[0, 2:5, 3:6] = True
    members[1] = ~members[0]
    similarity = match_locally(now, before, members)
    assert (similarity[2] == 0).all()
    for y, x, m in [(0, 0, 0), (13, 5, 0), (12, 13, 0), (4, 14, 0), (7, 21, 1), (3, 4, 1)]:
        window = [
            (now[:, y, x] - before[:, i, j]).square().mean()
            for i in range(max(y - RADIUS, 0), min(y + RADIUS + 1, 14))
            for j in range(max(x - RADIUS, 0), min(x + RADIUS + 1, 22))
            if members[m, i, j]
        ]
        expected = 2 / (1 + min(window).exp()) if window else torch.zeros(())
        torch.testing.assert_close(similarity[m, y, x], expected)


def test_masks_move_to_where_their_embeddings_are():
    """The embedding is the feature itself, and the head sees the two kinds of matching alone."""
    network = FEELVOS(feelvos_module.EMBEDDING)
    network.embedding = torch.nn.Identity()
    network.head = MatchingHead(global_weight=40.0, local_weight=0.0)
    red, blue = 6 * torch.eye(feelvos_module.EMBEDDING)[:2]
    before, after = squares((1, 2), (14, 7)), squares((16, 1), (2, 8))

    def frame(masks):
        features = red[:, None, None] * masks[0] + blue[:, None, None] * masks[1]
        return maps_of(network, features[None])[0]

    templates = network.templates(before, frame(before))
    propagated = network.propagate(before, frame(before), frame(after), templates)
    assert torch.equal(propagated > 0.5, after > 0.5)
    # Global matching does not depend on the masks of the previous frame.
    empty = torch.zeros_like(before)
    propagated = network.propagate(empty, frame(before), frame(after), templates)
    assert torch.equal(propagated > 0.5, after > 0.5)
    # Local matching finds an object only within its window.
    network.head = MatchingHead(global_weight=0.0, local_weight=40.0)
    near = squares((1 + RADIUS - 1, 2), (14 - RADIUS - 6, 7))
    propagated = network.propagate(before, frame(before), frame(near), templates)
    assert torch.equal(propagated[0] > 0.5, near[0] > 0.5)
    assert propagated[1].max() < 0.5


class MatchingHead(torch.nn.Module):
    """A similarity of more than one half is the object."""

    def __init__(self, global_weight, local_weight):
        super().__init__()
        self.weights = global_weight, local_weight

    def forward(self, x):
        first, local = x[:, -3:-2] - 0.5, x[:, -2:-1] - 0.5
        return self.weights[0] * first + self.weights[1] * local


def test_templates_of_large_objects_are_subsampled(monkeypatch):
    monkeypatch.setattr(feelvos_module, "MAX_CELLS", 7)
    maps = {"feelvos_embedding": torch.arange(100.0).view(1, 10, 10)}
    masks = torch.stack([torch.ones(10, 10), torch.zeros(10, 10)])
    masks[1, 0, :5] = 1
    large, small = build("feelvos").templates(masks, maps)
    assert large[:, 0].tolist() == [0, 15, 30, 45, 60, 75, 90]
    assert small[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_templates_of_osmn_are_means_under_the_masks():
    masks = squares((1, 2), (9, 6))
    masks[1] *= 0.2
    maps = {"osmn": torch.stack([5 * masks[1], 2 * masks[0], *torch.zeros(30, *SIZE)])}
    first, second = build("osmn").templates(masks, maps)
    assert first.tolist() == pytest.approx([0, 2] + [0] * 30)
    assert second.tolist() == pytest.approx([1, 0] + [0] * 30)


def test_gaussians_have_the_mean_and_deviation_of_their_masks():
    masks = torch.zeros(2, 30, 40)
    masks[0, 10:15, 20:29] = 0.5
    values, empty = gaussians(masks)
    assert (empty == 0).all()
    assert values[12, 24] == values.max() == pytest.approx(1)
    expected = torch.exp(-((torch.arange(40) - 24.0) ** 2) / (2 * (80 / 12 + 0.25)))
    torch.testing.assert_close(values[12], expected)
